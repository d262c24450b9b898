"""What one complete answer took."""

from __future__ import annotations

from dataclasses import dataclass

from server.usage import Pool


@dataclass(frozen=True, slots=True)
class Answered:
    """What has no tokens or took no time says nothing."""

    pool: Pool
    replica: str
    """One start of one engine: what is known outlives it, and the first answers of the next one
    count for little."""
    tokens: int
    seconds: float
    """What the client waited, from the request to the last of `tokens`."""
    load: float
    """Other requests on the replica, at the start or better the mean."""
    prompt_tokens: int = 0
    first_s: float | None = None
    """The time to the first token of a stream."""

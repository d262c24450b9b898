"""Acceptance from the engine's own account of each request."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.record import Speculation


@dataclass(frozen=True)
class Acceptance:
    length: float
    """Tokens per step: 1 + accepted / steps, the target's own token included."""
    per_position: tuple[float, ...]
    """Share of steps in which at least this many drafts were accepted."""


def acceptance(requests: Sequence[Speculation]) -> Acceptance | None:
    """Pooled over steps; `None` if no step was speculative."""
    steps = sum(one.steps for one in requests)
    if not steps:
        return None
    accepted = sum(one.accepted for one in requests)
    runs = [run for one in requests for run in one.per_step_accepted]
    depth = max((k for one in requests for k in one.per_step_drafted), default=0)
    shares = (sum(run >= place for run in runs) / len(runs) for place in range(1, depth + 1))
    return Acceptance(1 + accepted / steps, tuple(shares) if runs else ())

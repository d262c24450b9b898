"""One engine of a pool: what it can serve, how loaded it is, and how its requests went."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import anyio
import httpx

from neuron.stacks.capabilities import Capabilities
from server.config.plans import Plan
from server.engine_status import Engine
from server.pools.ask import Ask
from server.pools.ejection import Record
from server.relay import Relay
from server.usage import Pool, Tokens

NEWEST = 0.05
"""Weight of the newest answer in the running mean of tokens per chunk."""


@dataclass(eq=False)
class Replica:
    plan: Plan
    engine: Engine
    relay: Relay
    client: httpx.AsyncClient
    """For everything but completions."""
    retiring: bool = False
    """It is no longer configured, and serves until another of its pool can."""
    leaving: bool = False
    """It gets nothing new."""
    starts: int = 0
    """How often its engine became ready."""
    running: int = 0
    outstanding: float = 0.0
    tokens_per_chunk: float = 1.0
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    """Around its engine."""
    record: Record = field(init=False)
    idle: anyio.Event = field(default_factory=anyio.Event)
    """Set, and replaced, when its last request ends."""

    def __post_init__(self) -> None:
        self.record = Record(self.name, self.pool)

    @property
    def name(self) -> str:
        return self.plan.config.name

    @property
    def pool(self) -> Pool:
        return self.plan.config.pool

    @property
    def capabilities(self) -> Capabilities | None:
        """None: nothing is known to be lacking, and the engine refuses for itself."""
        return self.plan.capabilities

    @property
    def ready(self) -> bool:
        return not self.leaving and self.engine.status.state == "ready"

    @contextmanager
    def lease(self, ask: Ask, clock: Callable[[], float]) -> Iterator[Lease]:
        lease = Lease(self, ask, clock)
        self.running += 1
        try:
            yield lease
        finally:
            lease.close()
            self.running -= 1
            if not self.running:
                self.idle.set()
                self.idle = anyio.Event()

    async def wait_idle(self) -> None:
        while self.running:
            await self.idle.wait()


class Lease:
    """One request at its replica: what is expected of it still, and what it has given."""

    def __init__(self, replica: Replica, ask: Ask, clock: Callable[[], float]) -> None:
        self._replica = replica
        self._max_tokens = ask.max_tokens
        self._clock = clock
        self._share = 0.0
        self.began = clock()
        self.chunks = 0
        self.first_s: float | None = None
        """To the first tokens of a stream."""
        self.tokens: Tokens | None = None
        """Of the whole answer, as usage counts them; None until it says."""
        self._ended: float | None = None
        self._expect(ask.tokens)

    def chunk(self) -> None:
        """The tokens of a step have come, and the prompt has been read."""
        self.chunks += 1
        self._ended = self._clock()
        if self.first_s is None:
            self.first_s = self.seconds
        self._expect(max(0.0, self._max_tokens - self.chunks * self._replica.tokens_per_chunk))

    def counted(self, tokens: Tokens | None) -> None:
        if tokens is None:
            return
        self.tokens = tokens
        if self.chunks:
            mean = tokens.completion / self.chunks
            self._replica.tokens_per_chunk += NEWEST * (mean - self._replica.tokens_per_chunk)

    @property
    def seconds(self) -> float:
        """To the last tokens; until now where the answer comes as a whole."""
        return (self._ended or self._clock()) - self.began

    def close(self) -> None:
        self._expect(0.0)

    def _expect(self, tokens: float) -> None:
        self._replica.outstanding += tokens - self._share
        self._share = tokens

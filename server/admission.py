"""How many requests run, what ends them early, and when a refused client may come back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import anyio

from server.errors import unavailable

Reason = Literal["client_gone", "shutdown"]
DRAIN_RETRY_S = 5.0
MAX_RETRY_S = 30.0
# Weight of the newest request in the running mean of request time.
NEWEST = 0.1


@dataclass(eq=False)
class Ticket:
    drop: Callable[[], None]
    """Ends the client's connection at once."""
    scope: anyio.CancelScope | None = None
    reason: Reason | None = None

    def end(self, reason: Reason) -> None:
        if self.reason is None:
            self.reason = reason
        if self.scope is not None:
            self.scope.cancel()


@dataclass
class Admission:
    limit: int
    clock: Callable[[], float]
    on_change: Callable[[int], None]
    draining: bool = False
    _running: set[Ticket] = field(default_factory=set)
    _idle: anyio.Event = field(default_factory=anyio.Event)
    _mean_s: float = 1.0

    @property
    def in_flight(self) -> int:
        return len(self._running)

    @contextmanager
    def admit(self, drop: Callable[[], None]) -> Iterator[Ticket]:
        """Raises ApiError: 503 while draining or full."""
        if self.draining:
            raise unavailable(
                "shutting_down",
                "The server is shutting down. Send the request to another replica or again later.",
                retry_after_s=DRAIN_RETRY_S,
            )
        if self.in_flight >= self.limit:
            raise unavailable(
                "overloaded",
                f"{self.limit} requests are in flight, which is this server's limit.",
                retry_after_s=min(MAX_RETRY_S, self._mean_s / self.limit),
            )
        ticket, began = Ticket(drop), self.clock()
        self._running.add(ticket)
        self.on_change(self.in_flight)
        try:
            yield ticket
        finally:
            self._mean_s += NEWEST * (self.clock() - began - self._mean_s)
            self._running.discard(ticket)
            self.on_change(self.in_flight)
            if not self._running:
                self._idle.set()
                self._idle = anyio.Event()

    async def wait_idle(self) -> None:
        while self._running:
            await self._idle.wait()

    def end_all(self, reason: Reason) -> None:
        for ticket in tuple(self._running):
            ticket.end(reason)

    def drop_all(self) -> None:
        for ticket in tuple(self._running):
            ticket.drop()

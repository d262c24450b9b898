"""How many requests run, which of the waiting is next, and when a refused client may come back.

A request is open from its headers to its last byte. Of the open ones `limit` run; the others
read their body or wait, `max_queued` at most. When all those places are taken, a newcomer takes
the place of a waiting request of lower priority, or of the key that has most waiting, if that
is more than its own: one key cannot fill the queue against the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import anyio

from server.drain_rate import DrainRate
from server.errors import ApiError, unavailable
from server.fair_queue import PRIORITIES, FairQueue
from server.keys import ANONYMOUS, Key, Priority
from server.ticket import Reason, Ticket

DRAIN_RETRY_S = 5.0
MAX_RETRY_S = 60.0


@dataclass
class Admission:
    limit: int
    max_queued: int
    clock: Callable[[], float]
    on_change: Callable[[Admission], None]
    draining: bool = False
    # Ordered: the last is the newest.
    _open: dict[Ticket, None] = field(default_factory=dict)
    _running: int = 0
    _queue: FairQueue[Ticket] = field(default_factory=FairQueue)
    _idle: anyio.Event = field(default_factory=anyio.Event)

    def __post_init__(self) -> None:
        self._drain = DrainRate(self.limit)

    @property
    def in_flight(self) -> int:
        return len(self._open)

    @property
    def running(self) -> int:
        return self._running

    def resize(self, limit: int, max_queued: int) -> None:
        """From now on; what runs above a smaller limit runs to its end."""
        self.limit, self.max_queued = limit, max_queued
        self._drain.places = limit
        self._grant()

    def queued(self) -> dict[Priority, int]:
        return self._queue.lengths()

    @contextmanager
    def admit(self, drop: Callable[[], None], key: Key = ANONYMOUS) -> Iterator[Ticket]:
        """Raises ApiError: 503 while draining or full, 429 over the key's concurrency."""
        if self.draining:
            raise shutting_down()
        self._check_concurrency(key)
        self._make_room(key)
        ticket = Ticket(key, drop)
        self._open[ticket] = None
        self.on_change(self)
        try:
            yield ticket
        finally:
            self._leave(ticket)

    async def turn(self, ticket: Ticket, wait_s: float) -> None:
        """Returns when the request may run. Raises ApiError 503."""
        if self.draining:
            raise shutting_down()
        priority, name = ticket.key.priority, ticket.key.name
        self._queue.push(priority, name, ticket)
        try:
            self._grant()
            if ticket.running_since is None:
                with anyio.move_on_after(wait_s):
                    await ticket.granted.wait()
        finally:
            self._queue.discard(priority, name, ticket)
            self.on_change(self)
        if ticket.running_since is None:
            raise unavailable(
                "queue_timeout",
                f"No place became free within {wait_s:g} s.",
                retry_after_s=self.retry_after_s(),
            )

    def retry_after_s(self) -> float:
        """When one more request would have had its turn."""
        return min(MAX_RETRY_S, self._drain.wait_s(len(self._queue) + 1, self.clock()))

    async def wait_idle(self) -> None:
        while self._open:
            await self._idle.wait()

    def end_waiting(self, reason: Reason) -> None:
        for ticket in self._waiting():
            ticket.end(reason)

    def end_all(self, reason: Reason) -> None:
        for ticket in tuple(self._open):
            ticket.end(reason)

    def drop_all(self) -> None:
        for ticket in tuple(self._open):
            ticket.drop()

    def _waiting(self) -> list[Ticket]:
        return [one for one in self._open if one.running_since is None and one.reason is None]

    def _check_concurrency(self, key: Key) -> None:
        if key.concurrency is None:
            return
        own = sum(ticket.key.name == key.name for ticket in self._open)
        if own >= key.concurrency:
            raise ApiError(
                429,
                "concurrency_limit_exceeded",
                f"The key {key.name!r} may have {key.concurrency} requests at once.",
                retry_after_s=min(MAX_RETRY_S, self._drain.mean_s / key.concurrency),
                limit="requests",
            )

    def _make_room(self, key: Key) -> None:
        bound = self.limit + self.max_queued
        if len(self._open) < bound:
            return
        # Those that were told to go are on their way.
        if sum(ticket.reason is None for ticket in self._open) < bound:
            return
        victim = self._victim(key)
        if victim is None:
            raise self.overloaded()
        victim.end("pushed_out")

    def overloaded(self) -> ApiError:
        return unavailable(
            "overloaded",
            f"{self.limit} requests may run and {self.max_queued} wait at once; all do.",
            retry_after_s=self.retry_after_s(),
        )

    def _victim(self, key: Key) -> Ticket | None:
        waiting = self._waiting()
        if not waiting:
            return None
        counts = Counter(ticket.key.name for ticket in waiting)

        def weight(ticket: Ticket) -> tuple[int, int]:
            return PRIORITIES.index(ticket.key.priority), counts[ticket.key.name]

        # Of equal ones the newest, which has waited least.
        worst = max(reversed(waiting), key=weight)
        newcomer = PRIORITIES.index(key.priority), counts[key.name] + 1
        return worst if weight(worst) > newcomer else None

    def _grant(self) -> None:
        while self._running < self.limit and (ticket := self._queue.pop()) is not None:
            if ticket.reason is not None:
                continue
            self._running += 1
            ticket.running_since = self.clock()
            ticket.granted.set()
        if self._running >= self.limit:
            self._drain.full(self.clock())
        self.on_change(self)

    def _leave(self, ticket: Ticket) -> None:
        self._open.pop(ticket)
        if ticket.running_since is not None:
            now = self.clock()
            self._running -= 1
            self._drain.freed(now, now - ticket.running_since)
            self._grant()
        if self._running < self.limit:
            self._drain.not_full()
        self.on_change(self)
        if not self._open:
            self._idle.set()
            self._idle = anyio.Event()


def shutting_down() -> ApiError:
    return unavailable(
        "shutting_down",
        "The server is shutting down. Send the request to another replica or again later.",
        retry_after_s=DRAIN_RETRY_S,
    )

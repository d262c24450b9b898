"""Which replicas are passed over because of how their last requests went.

    in ──(failures in a row, or too slow)──> out ──(its time is over)──> half open
    ^                                         ^                              │
    └──────────(one request goes well)────────┼──────(it goes wrong)─────────┘

A half-open replica gets one request at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from statistics import median
from typing import Literal

from server.config.sections import EjectionConfig
from server.usage import Pool

Standing = Literal["in", "out", "half-open"]
Reason = Literal["errors", "slow", "probe"]

NEWEST = 0.1
"""Weight of the newest answer in the running mean of time per token."""


@dataclass(eq=False)
class Record:
    """How one replica's last requests went."""

    name: str
    pool: Pool
    failures: int = 0
    """In a row."""
    ejections: int = 0
    """In a row, which a long time without one ends: each lasts twice as long as the last."""
    out_until: float | None = None
    """None: it is in."""
    last_until: float = -inf
    """When the latest ejection ended, or will."""
    probing: bool = False
    seconds_per_token: float = 0.0
    answers: int = 0

    @property
    def is_in(self) -> bool:
        return self.out_until is None

    def forget_pace(self) -> None:
        self.seconds_per_token, self.answers = 0.0, 0


@dataclass
class Ejector:
    """Told of every end of a request, asked before every choice."""

    config: EjectionConfig
    clock: Callable[[], float]
    on_eject: Callable[[str, Reason], None]

    def standing(self, record: Record) -> Standing:
        until = record.out_until
        if until is None:
            return "in"
        return "out" if self.clock() < until else "half-open"

    def usable(self, record: Record) -> bool:
        standing = self.standing(record)
        return standing == "in" or (standing == "half-open" and not record.probing)

    @contextmanager
    def trial(self, record: Record) -> Iterator[None]:
        """Around a request: while a half-open replica has one, it is not usable for another."""
        probing = self.standing(record) == "half-open"
        record.probing |= probing
        try:
            yield
        finally:
            if probing:
                record.probing = False

    def succeeded(
        self, record: Record, seconds_per_token: float | None, fleet: Collection[Record]
    ) -> None:
        """`seconds_per_token` None: the answer had no tokens to measure it by."""
        record.failures = 0
        if self.standing(record) == "half-open":
            record.out_until = None
            record.forget_pace()
        if seconds_per_token is None:
            return
        if record.answers == 0:
            record.seconds_per_token = seconds_per_token
        record.seconds_per_token += NEWEST * (seconds_per_token - record.seconds_per_token)
        record.answers += 1
        if self._is_slow(record, fleet):
            self._eject(record, "slow", fleet)

    def failed(self, record: Record, fleet: Collection[Record]) -> None:
        record.failures += 1
        if self.standing(record) == "half-open":
            self._out(record, "probe")
        elif record.failures >= self.config.errors:
            self._eject(record, "errors", fleet)

    def _is_slow(self, record: Record, fleet: Collection[Record]) -> bool:
        needed = self.config.slow_requests
        others = [
            one.seconds_per_token
            for one in fleet
            if one.pool == record.pool and one is not record and one.answers >= needed
        ]
        if record.answers < needed or not others:
            return False
        return record.seconds_per_token > self.config.slow_factor * median(others)

    def _eject(self, record: Record, reason: Reason, fleet: Collection[Record]) -> None:
        if self.standing(record) != "in":
            return
        out = sum(not one.is_in for one in fleet)
        if out + 1 <= int(self.config.max_share * len(fleet)):
            self._out(record, reason)

    def _out(self, record: Record, reason: Reason) -> None:
        now = self.clock()
        if now - record.last_until > self.config.max_seconds:
            record.ejections = 0
        lasts = min(self.config.max_seconds, self.config.seconds * 2.0 ** min(record.ejections, 32))
        record.ejections += 1
        record.failures = 0
        record.forget_pace()
        record.out_until = record.last_until = now + lasts
        self.on_eject(record.name, reason)

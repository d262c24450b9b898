"""How fast places become free, measured while all of them are taken."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

KEPT = 64
# Weight of the newest request in the running mean of how long one takes.
NEWEST = 0.1
MIN_S = 1e-3


@dataclass
class DrainRate:
    places: int
    mean_s: float = 1.0
    _full_since: float | None = None
    _freed: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))

    def full(self, now: float) -> None:
        if self._full_since is None:
            self._full_since = now

    def not_full(self) -> None:
        # What happens while places are free says how many come, not how fast they go.
        self._full_since = None
        self._freed.clear()

    def freed(self, now: float, took_s: float) -> None:
        self.mean_s += NEWEST * (took_s - self.mean_s)
        if self._full_since is not None:
            self._freed.append(now)

    def wait_s(self, ahead: int, now: float) -> float:
        """Until `ahead` places have become free."""
        if self._full_since is None or not self._freed:
            return ahead * self.mean_s / self.places
        begun = self._full_since if len(self._freed) < KEPT else self._freed[0]
        count = len(self._freed) if len(self._freed) < KEPT else KEPT - 1
        # Up to now, not to the last one: a standstill slows the rate down.
        return ahead * max(MIN_S, now - begun) / count

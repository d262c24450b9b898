"""One minute's count that slides: how much is left of it, and when there is more.

The count of the minute before still weighs, less with every second, so no moment exists in
which a whole minute's worth is free again at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor
from typing import Self

WINDOW_S = 60


@dataclass(frozen=True)
class Window:
    previous: int
    previous_left_s: float
    """Until the previous count has no weight any more."""
    current: int
    roll_s: float
    """Until the current count becomes the previous one."""
    length_s: float = WINDOW_S

    @classmethod
    def of(cls, found: tuple[int, float, int, float], length_s: float = WINDOW_S) -> Self:
        """From what limits' storages say: each count, and the seconds until it is forgotten."""
        previous, previous_left_s, current, current_left_s = found
        return cls(
            previous, previous_left_s, current, max(0.0, current_left_s - length_s), length_s
        )

    def used(self, after_s: float = 0.0) -> float:
        """Weighted, if nothing more is counted for `after_s`."""
        if after_s < self.roll_s:
            left_s = max(0.0, self.previous_left_s - after_s)
            return self.previous * left_s / self.length_s + self.current
        left_s = max(0.0, self.length_s - (after_s - self.roll_s))
        return self.current * left_s / self.length_s

    def remaining(self, limit: int) -> int:
        return min(limit, max(0, limit - floor(self.used())))

    def wait_s(self, limit: int, cost: int) -> float:
        """Until `cost`, at most `limit`, fits."""
        free = limit - cost
        if self.used() <= free:
            return 0.0
        if self.current <= free and self.previous > 0:
            fits_s = self.previous_left_s - (free - self.current) * self.length_s / self.previous
            if fits_s < self.roll_s:
                return fits_s
        over = max(0.0, 1.0 - free / self.current) if self.current > 0 else 0.0
        return self.roll_s + self.length_s * over

    def reset_s(self) -> float:
        """Until the whole limit is free again."""
        return self.roll_s + self.length_s if self.current > 0 else self.previous_left_s


def go_duration(seconds: float) -> str:
    """As OpenAI writes it: 17ms, 1.5s, 6m0s."""
    if seconds < 1.0:
        return f"{round(seconds * 1000)}ms"
    minutes, rest = divmod(round(seconds, 1), 60)
    return f"{minutes:.0f}m{rest:g}s" if minutes else f"{rest:g}s"

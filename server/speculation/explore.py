"""How often the pool that looks slower is tried, and what bounds it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from server.speculation.belief import Belief
from server.usage import Pool

START, SHARE = 8, 0.1
"""Requests of a class that may explore at once, and per request after that."""
ROOT_START, ROOT_SHARE = 64, 0.1
"""The same over all classes: what new ones may cost together."""
KNOWN_SHARE = 0.05
"""Of a class that is known: most requests that explore …"""
KNOWN_COST = 0.0075
"""… and the most that they may add to its time per token, as a share."""


@dataclass(slots=True)
class Budget:
    """Of any n requests in a row at most `start` + `share` x n explore."""

    start: float
    share: float
    left: float = field(init=False)

    def __post_init__(self) -> None:
        self.left = self.start

    def earn(self) -> None:
        self.left = min(self.left + self.share, self.start)

    @property
    def allows(self) -> bool:
        return self.left >= 1

    def spend(self) -> None:
        self.left -= 1


def wanted_share(tried: Pool, now: Belief) -> float:
    """Of requests that should try the pool `tried`, which looks slower, budgets aside.

    The chance that it is the faster one, but never less than keeps a change from going unseen.
    """
    cost = math.expm1(max(now.slowdown(tried), 0.0))
    return max(now.doubt, min(KNOWN_SHARE, KNOWN_COST / cost if cost > 0 else 1.0))

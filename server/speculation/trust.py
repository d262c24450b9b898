"""How much an engine's answers are believed: little while it is fresh."""

from __future__ import annotations

from collections import OrderedDict

FRESH = 8
"""Requests after a start in which caches are cold and graphs are still being compiled."""
FRESH_TRUST = 0.25
MAX_ENGINES = 256


class Trust:
    """A bounded number of engines; the one that answered longest ago is forgotten."""

    def __init__(self) -> None:
        self._fresh: OrderedDict[str, int] = OrderedDict()

    def heard(self, engine: str) -> float:
        """The weight of one more answer of `engine`, which starts with the first that is heard."""
        left = self._fresh.get(engine, FRESH)
        self._fresh[engine] = max(left - 1, 0)
        self._fresh.move_to_end(engine)
        if len(self._fresh) > MAX_ENGINES:
            self._fresh.popitem(last=False)
        return FRESH_TRUST if left else 1.0

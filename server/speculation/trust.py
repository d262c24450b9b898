"""How much a replica's requests are believed: little while its engine is fresh."""

from __future__ import annotations

from collections import OrderedDict

FRESH = 8
"""Requests after a start in which caches are cold and graphs are still being compiled."""
FRESH_TRUST = 0.25
MAX_REPLICAS = 256


class Trust:
    """By replica; a bounded number of them, the longest unheard of forgotten."""

    def __init__(self) -> None:
        self._fresh: OrderedDict[str, int] = OrderedDict()

    def started(self, replica: str) -> None:
        self._fresh[replica] = FRESH
        self._fresh.move_to_end(replica)
        if len(self._fresh) > MAX_REPLICAS:
            self._fresh.popitem(last=False)

    def forget(self, replica: str) -> None:
        self._fresh.pop(replica, None)

    def heard(self, replica: str) -> float:
        """The weight of one more request of it. A replica never heard of counts as started."""
        if replica not in self._fresh:
            self.started(replica)
        left = self._fresh[replica]
        self._fresh[replica] = max(left - 1, 0)
        self._fresh.move_to_end(replica)
        return FRESH_TRUST if left else 1.0

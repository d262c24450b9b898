"""When a failed request is sent to another replica, and how many of them may be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from server.config.sections import RetryConfig
from server.errors import ApiError, Code
from server.structured.fault import INVALID

MOVED: frozenset[Code] = frozenset({"engine_unavailable", "engine_lost"})
"""The replica is gone, and its load with it: the request is moved, and nobody's load is added."""
AGAIN: frozenset[Code] = MOVED | {"engine_overloaded", "engine_refused", "engine_unexpected"}


@dataclass
class RetryBudget:
    """Retries that add load are a bounded share of recent requests.

    Both counts fade by half every `half_life_s`, so that nothing needs to be kept per request.
    """

    config: RetryConfig
    clock: Callable[[], float]
    half_life_s: float = 10.0
    _requests: float = 0.0
    _retries: float = 0.0
    _at: float = 0.0

    def request(self) -> None:
        self._fade()
        self._requests += 1

    def take(self) -> bool:
        """False: the budget is spent, and the failure is the answer."""
        self._fade()
        if self._retries + 1 > self.config.min_retries + self.config.share * self._requests:
            return False
        self._retries += 1
        return True

    def _fade(self) -> None:
        now = self.clock()
        kept = 0.5 ** ((now - self._at) / self.half_life_s)
        self._requests, self._retries, self._at = self._requests * kept, self._retries * kept, now


@dataclass
class Attempts:
    """The tries of one request."""

    budget: RetryBudget
    on_over_budget: Callable[[], None]
    made: int = 0
    reformed: bool = False
    """Asked for once more since the answer had not the form asked for."""
    lost: int = 0
    """Engines that were lost under it: one such request may be what ends them."""

    def again(self, error: ApiError) -> bool:
        """Whether, after this failure, another replica may be tried. Takes from the budget."""
        if error.code == "context_length_exceeded":
            # Refused before anything was computed; and not twice, since the plain pool is last.
            return True
        if error.code == INVALID:
            # Once, whatever the budget: it is what a client was promised.
            first, self.reformed = not self.reformed, True
            return first
        self.made += 1
        self.lost += error.code == "engine_lost"
        if error.code not in AGAIN or self.made > self.budget.config.max_retries or self.lost > 1:
            return False
        if error.code in MOVED or self.budget.take():
            return True
        self.on_over_budget()
        return False

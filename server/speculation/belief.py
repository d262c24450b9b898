"""What is believed of a class: by how much one pool is faster, with what its wider classes say."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import NormalDist

from server.speculation.arm import Arm
from server.usage import Pool

PRIOR_SIGMA = 0.7
"""Of the ratio's logarithm over all traffic: from half the time to twice of it."""
CLASS_SIGMA = 0.5
"""How far a class lies from the wider class around it."""
PLAIN_SIGMA = 0.25
"""The same of the plain pool's time alone, which is nearly that of any other text.

So a class that is slow on the speculative pool shows it before the plain pool has served it once.
"""
HYSTERESIS = 0.01
"""A pool is left only for one that is faster by this much …"""
CONFIDENCE = 1.0
"""… and by this many standard deviations of what is known."""
_STANDARD = NormalDist()


@dataclass(frozen=True, slots=True)
class Belief:
    """A normal distribution of log(time per token, speculative / plain), both pools idle."""

    log_ratio: float = 0.0
    sigma: float = PRIOR_SIGMA

    def narrower(self) -> Belief:
        """Of a class inside, before anything is known of it."""
        return Belief(self.log_ratio, math.hypot(self.sigma, CLASS_SIGMA))

    def given(self, log_ratio: float, variance: float) -> Belief:
        """After a measurement."""
        if math.isinf(variance):
            return self
        own, seen = 1 / self.sigma**2, 1 / variance
        return Belief(
            (own * self.log_ratio + seen * log_ratio) / (own + seen), (own + seen) ** -0.5
        )

    def shifted(self, by: float) -> Belief:
        return Belief(self.log_ratio + by, self.sigma)

    def slowdown(self, pool: Pool) -> float:
        """Logarithm of its time over the other pool's: above 0 if it is the slower."""
        return self.log_ratio if pool == "speculative" else -self.log_ratio

    def shows_slower(self, pool: Pool) -> bool:
        """Slower than the other by enough, and surely enough, to leave it."""
        return self.slowdown(pool) > max(HYSTERESIS, CONFIDENCE * self.sigma)

    @property
    def doubt(self) -> float:
        """Chance that the pool that looks slower is the faster."""
        return _STANDARD.cdf(-abs(self.log_ratio) / self.sigma)


@dataclass(frozen=True, slots=True)
class Pace:
    """A normal distribution of log(seconds per token) in one idle pool."""

    log_time: float
    variance: float

    def narrower(self) -> Pace:
        """Of a class inside, where the pool is the plain one."""
        return Pace(self.log_time, self.variance + PLAIN_SIGMA**2)

    def given(self, seen: Pace) -> Pace:
        if math.isinf(seen.variance):
            return self
        if math.isinf(self.variance):
            return seen
        share = self.variance / (self.variance + seen.variance)
        middle = self.log_time + share * (seen.log_time - self.log_time)
        return Pace(middle, share * seen.variance)


UNKNOWN = Pace(0.0, math.inf)


def believed(path: Iterable[Mapping[Pool, Arm]], exponents: Mapping[Pool, float]) -> Belief:
    """From the widest class to the narrowest."""
    belief, plain = Belief(), UNKNOWN
    for depth, arms in enumerate(path):
        if depth:
            belief, plain = belief.narrower(), plain.narrower()
        speculative = _pace(arms["speculative"], exponents["speculative"])
        plain = plain.given(_pace(arms["plain"], exponents["plain"]))
        belief = belief.given(
            speculative.log_time - plain.log_time, speculative.variance + plain.variance
        )
    return belief


def _pace(arm: Arm, exponent: float) -> Pace:
    if arm.count <= 0:
        return UNKNOWN
    return Pace(math.log(arm.at(0.0, exponent)), arm.variance)

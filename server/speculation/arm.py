"""One pool as one class has met it: its time per token, how sure that is, at which load."""

import math
from dataclasses import dataclass

MEMORY = 400.0
"""Requests of a class after which what was learnt before weighs 1/e, of both pools alike.

Alike, because then both estimates are of the same hours: what slows both pools, or makes all
prompts longer, cannot make the pool that is tried less often look better.
"""
HALF_LIFE_S = 6 * 3600.0
LIKELY_SPREAD = 0.4
"""Standard deviation of a request's time per token over its mean, before much is known."""
SPREAD_STRENGTH = 4.0
"""Requests that LIKELY_SPREAD counts for."""
CLIP = 4.0
"""Standard deviations beyond which a request's time counts as if it were there."""
SURPRISE = 2.5
"""Standard deviations from which a request is a surprise; two running on one side are a change."""
AFTER_CHANGE = 1.0
"""Requests that everything from before a change counts for."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one answer took."""

    value: float
    """Seconds per token."""
    tokens: int
    load: float
    """log(1 + other requests on its replica)."""
    trust: float
    """At most 1, and less while its replica is fresh."""


@dataclass(slots=True)
class Arm:
    count: float = 0.0
    """Requests it rests on, what was forgotten taken off."""
    mean: float = 0.0
    """Seconds per token, the mean over tokens, at the load `load`."""
    load: float = 0.0
    """Mean of log(1 + load)."""
    log_mean: float = 0.0
    scatter: float = 0.0
    """Mean of squared relative deviations."""
    surprises: int = 0
    """How many came running: above 0 if they were slower than expected, below if faster."""

    def forget(self, factor: float) -> None:
        self.count *= factor

    @property
    def spread(self) -> float:
        """Standard deviation over mean of a request's time per token, with what was likely."""
        strength = SPREAD_STRENGTH
        squared = self.count * self.scatter + strength * LIKELY_SPREAD**2
        return math.sqrt(squared / (self.count + strength))

    @property
    def variance(self) -> float:
        """Of the logarithm of the mean; infinite if nothing is known."""
        return self.spread**2 / self.count if self.count > 0 else math.inf

    def at(self, load: float, exponent: float) -> float:
        """Expected seconds per token at log(1 + load) = `load`."""
        return self.mean * math.exp(exponent * (load - self.load))

    def add(self, sample: Sample, weight: float, exponent: float) -> None:
        """What is expected at its load never moves away from it, and more for one further off."""
        value, load = sample.value, sample.load
        if self.count <= 0:
            self.count, self.mean, self.load = weight, value, load
            self.log_mean, self.scatter, self.surprises = math.log(value), 0.0, 0
            return
        expected = self.at(load, exponent)
        if sample.trust >= 1:
            self._look_for_change(value, expected)
        far = 1 + CLIP * self.spread
        kept = min(max(value, expected / far), expected * far)
        self.count += weight
        gain = weight / self.count
        there = expected + gain * (kept - expected)
        self.load += gain * (load - self.load)
        self.mean = there * math.exp(exponent * (self.load - load))
        self.log_mean += gain * (math.log(kept) - self.log_mean)
        self.scatter = (1 - gain) * (self.scatter + gain * (kept / expected - 1) ** 2)

    def _look_for_change(self, value: float, expected: float) -> None:
        side = self._side(value, expected)
        self.surprises = self.surprises + side if self.surprises * side > 0 else side
        if abs(self.surprises) >= 2:
            self.surprises = 0
            self.count = min(self.count, AFTER_CHANGE)

    def _side(self, value: float, expected: float) -> int:
        far = 1 + SURPRISE * self.spread
        return (value > expected * far) - (value < expected / far)

"""How time per token grows with load: one curve per pool, the same for every class.

A step of a batch of drafts to verify is bound by compute long before a step of single tokens is, so
the speculative pool has the steeper curve. time = time alone x (1 + load) ** exponent.
"""

import math
from dataclasses import dataclass

from server.speculation.arm import Arm, Sample

LIKELY = 0.3
"""The exponent before anything is known: between a batch that is free (0) and a queue (1)."""
STRENGTH = 10.0
"""Variation of log(1 + load), squared and summed, that LIKELY counts for."""
MOST = 1.5
FORGET = 0.999
FURTHEST = 1.0
"""Of a request's logarithmic deviation: a stall is no load."""


def scale(load: float) -> float:
    """`load` is the number of other requests on the same replica."""
    return math.log1p(max(load, 0.0))


@dataclass(slots=True)
class LoadCurve:
    """The slope within classes: a class that is both slow and busy says nothing here."""

    xx: float = 0.0
    xy: float = 0.0

    @property
    def exponent(self) -> float:
        slope = (self.xy + STRENGTH * LIKELY) / (self.xx + STRENGTH)
        return min(max(slope, 0.0), MOST)

    def learn(self, known: Arm, sample: Sample) -> None:
        """From how `sample` differs from what is known of its class in this pool."""
        if known.count <= 0:
            return
        weight = sample.trust * known.count / (known.count + 1)
        load = sample.load - known.load
        slower = math.log(sample.value) - known.log_mean
        self.xx = FORGET * self.xx + weight * load * load
        self.xy = FORGET * self.xy + weight * load * min(max(slower, -FURTHEST), FURTHEST)

    def slowdown(self, load: float) -> float:
        """Logarithm of how much slower a token is at `load` other requests than alone."""
        return self.exponent * scale(load)

"""Whether two instruments agree, by the spread of their own blocks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import t

CONFIDENCE = 0.95
WIDEST = 1.10
"""An interval that holds 1 but reaches further than this factor from its middle shows nothing."""
MIN_ROUNDS = 3

Verdict = Literal["agrees", "differs", "too noisy", "no ratio"]
RULE = (
    "The rule: each round gives one ratio, of a program's block to the mean of our two around it. "
    "Over the rounds' logarithms, mean ± t·s/√rounds is the 95 % interval. It holds 1 and reaches "
    f"no further than {WIDEST - 1:.0%} from its middle: agrees. It does not hold 1: differs. Else "
    "too noisy. Of twenty rows of equal instruments one differs by chance; the first rows show how "
    "ours compares with itself."
)


@dataclass(frozen=True)
class Ratio:
    """NaN where a round's figure is 0, as a median gap is when most chunks came in one read."""

    value: float
    low: float
    high: float

    @property
    def verdict(self) -> Verdict:
        if math.isnan(self.value):
            return "no ratio"
        if not self.low <= 1 <= self.high:
            return "differs"
        return "agrees" if self.high / self.value <= WIDEST else "too noisy"


def ratio(theirs: Sequence[float], ours: Sequence[float]) -> Ratio:
    """Geometric mean over rounds of theirs / ours with its t interval."""
    if min(*theirs, *ours) <= 0:
        return Ratio(math.nan, math.nan, math.nan)
    logs = np.log(np.asarray(theirs, dtype=float) / np.asarray(ours, dtype=float))
    if len(logs) < MIN_ROUNDS:
        raise ValueError(f"a ratio needs at least {MIN_ROUNDS} rounds")
    middle = float(logs.mean())
    spread = float(logs.std(ddof=1)) / math.sqrt(len(logs))
    half = float(t.ppf((1 + CONFIDENCE) / 2, len(logs) - 1)) * spread
    return Ratio(*(math.exp(one) for one in (middle, middle - half, middle + half)))


def geometric(values: Sequence[float]) -> float:
    if min(values) <= 0:
        return 0.0
    return math.exp(sum(math.log(one) for one in values) / len(values))

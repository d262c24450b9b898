"""How many prompts a claim needs, from the spread that a pilot run shows."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, t

from bench.stats import CONFIDENCE, Paired

POWER = 0.9
TELLING = 5
"""Fewer prompts do not tell a spread: half of such pilots would ask for less than half."""
LEAST = 20
"""Fewer do not tell the spread itself, on which the answer rests."""
CLAIM = 50
"""So many prompts of a workload have met most of its phrasings and lengths."""


@dataclass(frozen=True)
class Spread:
    """Standard deviation over prompts of log(base / other) of the prompt's mean; n prompts."""

    log_sd: float
    prompts: int


def spread(data: Paired) -> Spread:
    logs = np.nanmean(np.log(data.base / data.other), axis=1)
    return Spread(float(logs.std(ddof=1)), len(logs))


def prompts_for(effect: float, log_sd: float, power: float = POWER) -> int:
    """Prompts with which a true speedup of `effect` has its interval above 1 with `power`.

    Of the paired mean, by Student's t; the ratio of medians needs about as many where
    both arms' TPOT spread little from prompt to prompt, and more elsewhere.
    """
    if effect <= 0 or effect == 1:
        raise ValueError("an effect is a ratio above 0 that is not 1")

    def wanted(quantile: float) -> int:
        reach = quantile + float(norm.ppf(power))
        return max(LEAST, math.ceil((reach * log_sd / math.log(effect)) ** 2))

    tail = 1 - (1 - CONFIDENCE) / 2
    # Student's quantile grows as prompts get fewer: one step from the normal one is enough.
    return wanted(float(t.ppf(tail, wanted(float(norm.ppf(tail))) - 1)))

"""How many prompts a claim needs, from the spread that a pilot run shows."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from bench.stats import CONFIDENCE, Paired

POWER = 0.9
LEAST = 20
"""Below it the interval is too narrow by some points of coverage, whatever the spread."""


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

    Of the paired mean, by the normal approximation; the ratio of medians needs about as many where
    both arms' TPOT spread little from prompt to prompt, and more elsewhere.
    """
    if effect <= 0 or effect == 1:
        raise ValueError("an effect is a ratio above 0 that is not 1")
    z = float(norm.ppf(1 - (1 - CONFIDENCE) / 2) + norm.ppf(power))
    return max(LEAST, math.ceil((z * log_sd / math.log(effect)) ** 2))

"""Milliseconds per token over many answers, every token counting once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from bench.stats import MIN_PROMPTS, Estimate, Floats, Indices, interval

RESAMPLES = 2000


def sums(answers: Iterable[tuple[float, int]]) -> Floats:
    """(n, 2) of milliseconds and tokens."""
    return np.array(list(answers), dtype=np.float64).reshape(-1, 2)


def pace(answers: Floats) -> float:
    """NaN if there are none."""
    ms, tokens = answers.sum(axis=0)
    return float(ms / tokens) if tokens else math.nan


def pace_ratio(upper: Floats, lower: Floats, seed: int) -> Estimate:
    """Of two (n, 2) whose rows belong together; a resample draws rows."""
    if len(upper) < MIN_PROMPTS:
        return Estimate(pace(upper) / pace(lower), math.nan, math.nan)

    def statistic(drawn: Sequence[Indices]) -> Floats:
        above, below = (answers[drawn[0]].sum(axis=-2) for answers in (upper, lower))
        return np.asarray(np.log((above[..., 0] * below[..., 1]) / (above[..., 1] * below[..., 0])))

    return interval([len(upper)], statistic, seed, RESAMPLES).exp()

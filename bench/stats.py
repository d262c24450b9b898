"""Estimates with their intervals over (prompt x repeat) arrays; NaN where there is no number.

A resample draws prompts and keeps each prompt's repeats together: two answers to the same prompt
are not two pieces of evidence.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import DegenerateDataWarning, bootstrap, norm, t

RESAMPLES = 10_000
CONFIDENCE = 0.95
MIN_PROMPTS = 2
FEW_PROMPTS = 8
"""In a group: with fewer, no quantile of the resamples reaches far enough beyond the data."""
_BATCH = 1000

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Estimate:
    value: float
    low: float
    high: float

    def exp(self) -> "Estimate":
        with np.errstate(over="ignore"):
            value, low, high = np.exp([self.value, self.low, self.high])
        return Estimate(float(value), float(low), float(high))


@dataclass(frozen=True)
class Paired:
    """The same prompts and repeats on both arms; a pair with a gap on one side is no pair."""

    base: Floats
    other: Floats

    @classmethod
    def of(cls, base: Floats, other: Floats) -> "Paired":
        gap = np.isnan(base) | np.isnan(other)
        kept = ~gap.all(axis=1)
        return cls(
            np.where(gap, np.nan, base)[kept],
            np.where(gap, np.nan, other)[kept],
        )

    @property
    def prompts(self) -> int:
        return len(self.base)


def interval(
    groups: Sequence[int],
    statistic: Callable[[Sequence[Indices]], Floats],
    seed: int,
    resamples: int = RESAMPLES,
) -> Estimate:
    """BCa bootstrap, expanded; prompts are drawn within each group (a workload).

    `statistic` takes one index array (..., prompts) per group and reduces the last axis.
    Percentile where BCa is not defined: every resample, or every leave-one-out value, is the same.
    Below FEW_PROMPTS in a group, the bootstrap's standard error times the same reach.
    """
    if min(groups, default=0) < MIN_PROMPTS:
        raise ValueError(f"an interval needs at least {MIN_PROMPTS} prompts in every group")
    everything = tuple(np.arange(size) for size in groups)
    few, reach = min(groups) < FEW_PROMPTS, _reach(groups, statistic)
    level = CONFIDENCE if few else float(2 * norm.cdf(reach) - 1)
    options: dict[str, Any] = {
        "n_resamples": resamples,
        "batch": _BATCH,
        "vectorized": True,
        "axis": -1,
        "confidence_level": level,
    }
    # What BCa divides by may be 0; what comes of that is looked at, not warned of.
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", DegenerateDataWarning)
        result = bootstrap(
            everything,
            lambda *drawn, axis: statistic(drawn),
            method="BCa",
            rng=np.random.default_rng(seed),
            **options,
        )
        value = float(statistic(everything))
        error = float(result.bootstrap_distribution.std())
    if few:
        return Estimate(value, value - reach * error, value + reach * error)
    bounds = np.array([*result.confidence_interval])
    if np.isnan(bounds).any():
        tail = (1 - level) / 2
        bounds = np.quantile(result.bootstrap_distribution, [tail, 1 - tail])
    return Estimate(value, float(bounds[0]), float(bounds[1]))


def _reach(groups: Sequence[int], statistic: Callable[[Sequence[Indices]], Floats]) -> float:
    """Standard errors on each side of the value: Student's, and the bootstrap's own is too small.

    Sources: Hesterberg, What Teachers Should Know About the Bootstrap, The American Statistician 69
    (2015), the expanded percentile interval; Satterthwaite, Biometrics Bulletin 2 (1946), the
    degrees of freedom where groups differ in size or spread.
    """
    sizes = np.array(groups, dtype=np.float64)
    parts = _variances(groups, statistic) if len(groups) > 1 else np.ones(1)
    if not (np.isfinite(parts).all() and parts.any()):
        parts = np.ones(len(groups))
    degrees = parts.sum() ** 2 / (parts**2 / (sizes - 1)).sum()
    quantile = float(t.ppf(1 - (1 - CONFIDENCE) / 2, degrees))
    return quantile * math.sqrt(float((parts * sizes / (sizes - 1)).sum() / parts.sum()))


def _variances(groups: Sequence[int], statistic: Callable[[Sequence[Indices]], Floats]) -> Floats:
    """What each group adds to the statistic's variance, by leaving out one prompt at a time."""
    everything = [np.arange(size) for size in groups]

    def without(place: int, one: int) -> float:
        kept = [*everything]
        kept[place] = np.delete(kept[place], one)
        return float(statistic(kept))

    with np.errstate(all="ignore"):
        return np.array(
            [
                np.var([without(place, one) for one in range(size)]) * (size - 1)
                for place, size in enumerate(groups)
            ]
        )


def _median(values: Floats, drawn: Indices) -> Floats:
    chosen = values[drawn]
    flat = chosen.reshape(*chosen.shape[:-2], -1)
    return np.asarray(np.nanmedian(flat, axis=-1), dtype=np.float64)


def _log_ratio(data: Paired, drawn: Indices) -> Floats:
    return np.asarray(np.log(_median(data.base, drawn) / _median(data.other, drawn)))


def ratio_of_medians(data: Paired, seed: int, resamples: int = RESAMPLES) -> Estimate:
    """The base arm's median over the other's: above 1, the other is faster."""
    return interval([data.prompts], lambda drawn: _log_ratio(data, drawn[0]), seed, resamples).exp()


def geometric_mean_ratio(data: Paired, seed: int, resamples: int = RESAMPLES) -> Estimate:
    """Geometric mean over prompts of base / other, repeats averaged within the prompt first."""
    logs = np.nanmean(np.log(data.base / data.other), axis=1)
    return interval(
        [data.prompts], lambda drawn: np.asarray(logs[drawn[0]].mean(axis=-1)), seed, resamples
    ).exp()


def pooled_speedup(groups: Sequence[Paired], seed: int, resamples: int = RESAMPLES) -> Estimate:
    """Geometric mean over groups of their ratios of medians: every group counts the same."""

    def statistic(drawn: Sequence[Indices]) -> Floats:
        logs = [_log_ratio(data, index) for data, index in zip(groups, drawn, strict=True)]
        return np.asarray(np.mean(logs, axis=0))

    return interval([data.prompts for data in groups], statistic, seed, resamples).exp()


def pooled_gain(
    groups: Sequence[tuple[Paired, Paired]], seed: int, resamples: int = RESAMPLES
) -> Estimate:
    """The second's speedup over the first's, geometric mean over groups.

    Both of a group have the same prompts in the same order; a resample draws a prompt for both.
    """

    def statistic(drawn: Sequence[Indices]) -> Floats:
        logs = [
            _log_ratio(after, index) - _log_ratio(before, index)
            for (before, after), index in zip(groups, drawn, strict=True)
        ]
        return np.asarray(np.mean(logs, axis=0))

    return interval([before.prompts for before, _ in groups], statistic, seed, resamples).exp()


def total_ratio(groups: Sequence[Paired], seed: int, resamples: int = RESAMPLES) -> Estimate:
    """Sum over all pairs of the base arm over the other's: long answers weigh more."""
    sums = [(np.nansum(data.base, axis=1), np.nansum(data.other, axis=1)) for data in groups]

    def statistic(drawn: Sequence[Indices]) -> Floats:
        base = sum(b[index].sum(axis=-1) for (b, _), index in zip(sums, drawn, strict=True))
        other = sum(o[index].sum(axis=-1) for (_, o), index in zip(sums, drawn, strict=True))
        return np.asarray(np.log(base / other))

    return interval([data.prompts for data in groups], statistic, seed, resamples).exp()


def median_difference(data: Paired, seed: int, resamples: int = RESAMPLES) -> Estimate:
    """Median over pairs of other − base."""
    added = data.other - data.base
    return interval([data.prompts], lambda drawn: _median(added, drawn[0]), seed, resamples)


def median_of(values: Floats, seed: int, resamples: int = RESAMPLES) -> Estimate:
    """Median over all requests of one arm, each above 0."""

    def statistic(drawn: Sequence[Indices]) -> Floats:
        return np.asarray(np.log(_median(values, drawn[0])))

    return interval([len(values)], statistic, seed, resamples).exp()

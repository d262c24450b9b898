"""Ground truth: hand-made arrays, and simulated experiments whose true ratio is known."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.sample_size import POWER, prompts_for, spread
from bench.stats import (
    FEW_PROMPTS,
    Estimate,
    Floats,
    Paired,
    geometric_mean_ratio,
    interval,
    median_difference,
    median_of,
    pooled_speedup,
    ratio_of_medians,
    total_ratio,
)
from bench.verdict import equivalent, in_words, verdict

FEW = 200
BRIEF = settings(max_examples=50)
times = st.floats(0.5, 500)
matrices = st.integers(2, 6).flatmap(
    lambda rows: st.lists(st.tuples(times, times), min_size=rows, max_size=rows)
)


def paired(base: list[list[float]], other: list[list[float]]) -> Paired:
    return Paired.of(np.array(base, dtype=float), np.array(other, dtype=float))


def test_known_ratios() -> None:
    data = paired([[30, 30], [40, 40], [50, 50]], [[10, 10], [10, 10], [10, 10]])
    assert ratio_of_medians(data, 0, FEW).value == 4
    assert geometric_mean_ratio(data, 0, FEW).value == pytest.approx((3 * 4 * 5) ** (1 / 3))
    assert total_ratio([data], 0, FEW).value == 4
    assert median_difference(data, 0, FEW).value == -30


def test_pooling_weighs_workloads_and_total_time_weighs_length() -> None:
    quick = paired([[10.0], [10.0]], [[10.0], [10.0]])
    long = paired([[400.0], [400.0]], [[100.0], [100.0]])
    assert pooled_speedup([quick, long], 0, FEW).value == pytest.approx(2)
    assert total_ratio([quick, long], 0, FEW).value == pytest.approx(820 / 220)


def test_a_missing_side_takes_the_pair_away_and_an_empty_prompt_the_row() -> None:
    nan = float("nan")
    data = paired([[10, 99], [10, 10], [nan, 10]], [[5, nan], [5, 5], [5, nan]])
    assert data.prompts == 2
    assert ratio_of_medians(data, 0, FEW).value == 2


def test_one_prompt_has_no_interval() -> None:
    with pytest.raises(ValueError, match="at least 2 prompts"):
        ratio_of_medians(paired([[1.0]], [[1.0]]), 0)


def test_repeats_of_a_prompt_are_not_evidence_of_their_own() -> None:
    rng = np.random.default_rng(3)
    effect = rng.lognormal(0, 0.3, (6, 1))
    few = Paired(np.tile(40 * effect, 2), np.full((6, 2), 10.0))
    many = Paired(np.tile(40 * effect, 50), np.full((6, 50), 10.0))
    a, b = geometric_mean_ratio(few, 1), geometric_mean_ratio(many, 1)
    # BCa's leave-one-out values differ in their last digits.
    assert (b.high - b.low) == pytest.approx(a.high - a.low, rel=0.01)


@BRIEF
@given(matrices, matrices, st.floats(0.1, 10))
def test_the_unit_of_time_does_not_matter(
    base: list[tuple[float, float]], other: list[tuple[float, float]], unit: float
) -> None:
    size = min(len(base), len(other))
    data = Paired.of(np.array(base[:size]), np.array(other[:size]))
    scaled = Paired(data.base * unit, data.other * unit)
    one, two = ratio_of_medians(data, 5, FEW), ratio_of_medians(scaled, 5, FEW)
    assert (two.value, two.low, two.high) == pytest.approx((one.value, one.low, one.high))


@BRIEF
@given(matrices)
def test_the_same_data_on_both_sides_is_a_ratio_of_one(base: list[tuple[float, float]]) -> None:
    array = np.array(base)
    found = geometric_mean_ratio(Paired.of(array, array), 0, FEW)
    assert (found.value, found.low, found.high) == pytest.approx((1, 1, 1))


@BRIEF
@given(st.lists(times, min_size=FEW_PROMPTS, max_size=12))
def test_an_interval_stays_inside_the_data(values: list[float]) -> None:
    array = np.array(values)
    found = interval([len(array)], lambda drawn: array[drawn[0]].mean(axis=-1), 0, FEW)
    slack = 1e-9 * array.max()
    assert array.min() - slack <= found.low
    assert found.low <= found.high + slack
    assert found.high <= array.max() + slack


def simulated(rng: np.random.Generator, truth: float, prompts: int, spread: float) -> Paired:
    own: Floats = rng.lognormal(0, spread, (prompts, 1))
    noise = rng.lognormal(0, 0.02, (2, prompts, 2))
    return Paired(40 * noise[0], 40 / truth * own * noise[1])


TRIALS = 400


@pytest.mark.parametrize(
    ("prompts", "estimator"),
    [
        *((prompts, geometric_mean_ratio) for prompts in (2, 3, 5, 8, 20, 50)),
        *((prompts, ratio_of_medians) for prompts in (2, 3, 5, 8, 20)),
    ],
)
def test_the_interval_covers_the_truth_about_as_often_as_it_says(
    prompts: int, estimator: Callable[..., Estimate]
) -> None:
    rng = np.random.default_rng(11)
    found = [estimator(simulated(rng, 1.7, prompts, 0.15), 0, FEW) for _ in range(TRIALS)]
    covered = sum(one.low <= 1.7 <= one.high for one in found) / TRIALS
    # 0.95 is nominal; two standard errors of 400 trials are 0.022, and few resamples cost 0.01. A
    # median of three prompts jumps, so its bootstrap is wide.
    assert 0.91 <= covered <= (0.98 if prompts > 5 else 0.995)


@pytest.mark.parametrize(
    ("prompts", "spreads", "least"),
    [
        ((2, 2), (0.15, 0.15), 0.91),
        ((2,) * 4, (0.15,) * 4, 0.91),
        ((3,) * 7, (0.15,) * 7, 0.91),
        ((3,) * 7, (0.6, *(0.05,) * 6), 0.91),
        ((2, 50), (0.15, 0.15), 0.84),
    ],
)
def test_the_pooled_interval_covers_the_truth_with_few_prompts_too(
    prompts: tuple[int, ...], spreads: tuple[float, ...], least: float
) -> None:
    rng = np.random.default_rng(16)
    trials = 200
    found = [
        pooled_speedup(
            [simulated(rng, 1.7, *one) for one in zip(prompts, spreads, strict=True)], 0, FEW
        )
        for _ in range(trials)
    ]
    assert least <= sum(one.low <= 1.7 <= one.high for one in found) / trials <= 0.999


def test_a_time_is_never_below_nothing() -> None:
    found = median_of(np.array([[20.0, 22.0], [40.0, 41.0]]), 0, FEW)
    assert found.value == pytest.approx(31, rel=0.02)
    assert 0 < found.low < 20
    assert found.high > 41


@pytest.mark.parametrize("prompts", [2, 3, 5, 8, 50])
def test_no_effect_is_called_one_at_the_nominal_rate(prompts: int) -> None:
    rng = np.random.default_rng(12)
    null = [
        verdict(ratio_of_medians(simulated(rng, 1, prompts, 0.03), 0, FEW)) for _ in range(TRIALS)
    ]
    # 5 % is nominal, half of it on each side.
    assert 0.005 <= 1 - null.count("not shown") / TRIALS <= 0.09
    assert null.count("faster") / TRIALS <= 0.06
    assert null.count("slower") / TRIALS <= 0.06


@pytest.mark.parametrize("spread_of_prompts", [0.15, 0.25])
def test_ten_percent_are_found_with_the_power_that_the_hint_promises(
    spread_of_prompts: float,
) -> None:
    rng = np.random.default_rng(13)
    prompts = prompts_for(1.1, spread_of_prompts, POWER)
    found = [
        verdict(geometric_mean_ratio(simulated(rng, 1.1, prompts, spread_of_prompts), 0, FEW))
        for _ in range(TRIALS)
    ]
    assert found.count("faster") / TRIALS == pytest.approx(POWER, abs=0.05)
    assert found.count("slower") == 0


def test_a_pilot_tells_the_spread_that_it_was_made_with() -> None:
    rng = np.random.default_rng(14)
    pilots = [spread(simulated(rng, 1.3, 20, 0.2)).log_sd for _ in range(100)]
    assert np.mean(pilots) == pytest.approx(0.2, rel=0.1)


def test_more_spread_less_effect_or_more_power_need_more_prompts() -> None:
    assert prompts_for(1.1, 0.3) > prompts_for(1.1, 0.2) > prompts_for(1.2, 0.2)
    assert prompts_for(1.1, 0.2, 0.95) > prompts_for(1.1, 0.2, 0.8)
    assert prompts_for(1 / 1.1, 0.2) == prompts_for(1.1, 0.2)
    with pytest.raises(ValueError, match="not 1"):
        prompts_for(1, 0.2)


def test_a_true_harm_at_the_margin_is_seldom_called_harmless() -> None:
    rng = np.random.default_rng(15)
    at_edge = [
        equivalent(geometric_mean_ratio(simulated(rng, 0.95, 50, 0.03), 0, FEW))
        for _ in range(TRIALS)
    ]
    assert sum(at_edge) / TRIALS <= 0.05
    none = [
        equivalent(geometric_mean_ratio(simulated(rng, 1, 50, 0.03), 0, FEW)) for _ in range(100)
    ]
    assert sum(none) >= 98


def test_few_prompts_and_equal_times_still_give_an_interval() -> None:
    same = paired([[10.0, 10.0], [10.0, 10.0]], [[5.0, 5.0], [5.0, 5.0]])
    found = ratio_of_medians(same, 0, FEW)
    assert (found.value, found.low, found.high) == pytest.approx((2, 2, 2))


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [(1.01, 2, "faster"), (0.5, 0.99, "slower"), (0.9, 1.1, "not shown"), (1, 2, "not shown")],
)
def test_the_interval_drives_the_verdict(low: float, high: float, word: str) -> None:
    assert verdict(Estimate(1.0, low, high)) == word


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.96, 1.04, "not shown, no harm"),
        (0.96, 0.99, "slower, no harm"),
        (1.01, 1.04, "faster"),
        (0.94, 1.04, "not shown"),
        (0.96, 1.06, "not shown"),
    ],
)
def test_no_harm_needs_the_whole_interval_inside_the_margin(
    low: float, high: float, words: str
) -> None:
    found = Estimate(1.0, low, high)
    assert in_words(verdict(found), found) == words

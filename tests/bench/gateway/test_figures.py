from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.gateway.figures import Calls, Figures, Memory, added, percentile, summarise
from bench.gateway.report import render
from bench.gateway.soaked import Look, Soaked, grown
from bench.provenance import provenance


@given(st.lists(st.integers(-1000, 1000), min_size=1), st.integers(1, 100))
def test_a_percentile_is_the_smallest_value_that_enough_do_not_exceed(
    values: list[int], percent: int
) -> None:
    ordered = sorted(values)
    found = percentile(ordered, percent)
    assert 100 * sum(value <= found for value in ordered) >= percent * len(ordered)
    assert 100 * sum(value < found for value in ordered) < percent * len(ordered)


def test_a_series_in_numbers() -> None:
    series = summarise(2, 50, 100, 2, range(1000, 101_000, 1000), 0.25)
    assert (series.median, series.p99, series.worst) == (50.0, 99.0, 100.0)
    assert series.cpu_per_1000 == pytest.approx(2500)
    direct = summarise(2, 50, 100, 2, [500] * 100, None)
    more = added(series, direct)
    assert (more.median, more.p99) == (49.5, 98.5)
    assert math.isnan(summarise(1, 50, 0, 0, [], 1.0).median)


def test_contestants_are_shown_side_by_side_and_a_loss_is_seen() -> None:
    good = summarise(2, 50, 100, 2, [1500] * 100, 0.01)
    direct = Figures("direct", "", {2: replace(good, cpu_per_1000=None)}, Calls(9000.0, 0, None))
    slow = Figures(
        "slow", "1.2", {2: summarise(2, 50, 99, 1, [4000] * 99, 0.2)}, Calls(10.0, 3, 1.0),
        Memory(50.0, 80.0, 1000, 999),
    )  # fmt: skip
    text = render([direct, slow], provenance(None, (), {}, 0.0))
    rows = {line.split("  ")[0].strip() or line: line for line in text.splitlines()}
    assert "slow 1.2" in text
    assert "2.50" in next(line for line in text.splitlines() if "added, median" in line)
    assert "1/2" in next(line for line in text.splitlines() if "complete" in line)
    assert "999/1000" in text
    assert rows


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (Look(70.0, 9, 4, 0), "memory"),
        (Look(50.0, 12, 4, 0), "descriptors"),
        (Look(50.0, 9, 5, 0), "tasks"),
        (Look(50.0, 9, 4, 1), "in flight"),
    ],
)
def test_what_stays_after_a_soak_is_named(after: Look, words: str) -> None:
    before = Look(50.0, 9, 4, 0)
    (found,) = grown(before, after)
    assert words in found
    assert grown(before, before) == []


def test_a_soak_that_was_stopped_says_so_beside_what_went_wrong() -> None:
    look = Look(50.0, 9, 4, 0)
    calm = Soaked(1.0, look, look, 1, {"call": 1}, 0, (), stood_still_s=60.0)
    assert calm.faults == ()
    stopped = replace(calm, wrong=("a call had no end",))
    assert "stood still for 60 s" in stopped.faults[0]
    assert replace(stopped, stood_still_s=0.1).faults == ("a call had no end",)

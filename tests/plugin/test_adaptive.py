"""The policy against made-up draft qualities and step costs, where the best choice is known."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuron.plugin.adaptive import AdaptivePace, Cost
from neuron.plugin.fused import Limits

ROWS = 8
LIMITS = Limits(
    rows=ROWS, slots=4, max_prompt=8, max_len=64, vocab=8, graphs=tuple(range(1, ROWS + 1))
)


class World:
    """Sequences with a fixed chance per candidate, and steps of a fixed plus a per-row cost."""

    def __init__(self, chances: dict[str, float], fixed: float, per_row: float) -> None:
        self.chances = chances
        self.fixed = fixed
        self.per_row = per_row
        self.random = Random(1)
        self.seconds = 0.0
        self.tokens = 0
        self.chosen: list[int] = []

    def step(self, pace: AdaptivePace | None) -> None:
        rows = pace.rows(self.chances) if pace else ROWS
        seconds = self.fixed + self.per_row * rows
        self.chosen.append(rows)
        self.seconds += seconds
        for name, chance in self.chances.items():
            accepted = 0
            while accepted < rows - 1 and self.random.random() < chance:
                accepted += 1
            self.tokens += accepted + 1
            if pace and rows > 1:
                pace.accepted(name, rows - 1, accepted)
        if pace:
            noise = self.random.uniform(0.9, 1.1)
            pace.took(rows, len(self.chances), seconds * noise)

    def run(self, pace: AdaptivePace | None, steps: int = 400) -> float:
        """Tokens per second."""
        for _ in range(steps):
            self.step(pace)
        return self.tokens / self.seconds


def best(chances: list[float], fixed: float, per_row: float) -> float:
    """Tokens per second of the best fixed number of rows."""
    return max(
        sum(chance**i for chance in chances for i in range(rows)) / (fixed + per_row * rows)
        for rows in LIMITS.row_choices
    )


@pytest.mark.parametrize(
    ("chances", "fixed", "per_row"),
    [
        ([0.95], 4.0, 1.5),
        ([0.1], 4.0, 1.5),
        ([0.6], 4.0, 1.5),
        ([0.95, 0.95, 0.1, 0.1], 4.0, 1.5),
        ([0.1, 0.1, 0.1, 0.7], 10.0, 8.0),
        ([0.5], 4.0, 0.01),
    ],
)
def test_it_comes_near_the_best_fixed_number(
    chances: list[float], fixed: float, per_row: float
) -> None:
    named = {f"r{i}": chance for i, chance in enumerate(chances)}
    reached = World(named, fixed, per_row).run(AdaptivePace(LIMITS))
    assert reached > 0.9 * best(chances, fixed, per_row)


def test_where_drafting_does_not_pay_it_beats_full_drafting() -> None:
    bad = {"prose": 0.15}
    assert World(bad, 4.0, 2.0).run(AdaptivePace(LIMITS)) > 1.8 * World(bad, 4.0, 2.0).run(None)


def test_it_returns_when_a_sequence_becomes_easy() -> None:
    world, pace = World({"a": 0.05}, 4.0, 1.5), AdaptivePace(LIMITS)
    world.run(pace)
    assert sorted(world.chosen)[len(world.chosen) // 2] == 1
    world.chances["a"], world.chosen = 0.97, []
    world.run(pace)
    assert min(world.chosen[-50:]) >= ROWS - 1


def test_a_new_sequence_does_not_inherit_anothers_acceptance() -> None:
    pace = AdaptivePace(LIMITS)
    World({"a": 0.02}, 4.0, 1.5).run(pace)
    assert pace.rows(["a"]) == 1
    pace.forget("a")
    assert pace.rows(["a"]) > 1
    assert pace.rows(["b"]) > 1


def test_one_graph_is_no_choice() -> None:
    pace = AdaptivePace(Limits(rows=4, slots=1, max_prompt=8, max_len=64, vocab=8))
    for _ in range(50):
        assert pace.rows(["a"]) == 4
        pace.took(4, 1, 1.0)
        pace.accepted("a", 3, 0)


@given(st.lists(st.tuples(st.integers(1, 8), st.floats(1e-3, 1.0)), min_size=1, max_size=30))
def test_a_cost_is_positive_and_never_falls_with_rows(seen: list[tuple[int, float]]) -> None:
    cost = Cost()
    for rows, seconds in seen:
        cost.observe(rows, seconds)
    costs = [cost.of(rows) for rows in range(1, 9)]
    assert min(costs) > 0
    assert costs == sorted(costs)


def test_a_line_is_found() -> None:
    cost = Cost()
    for rows in (8, 8, 1, 1, 4):
        cost.observe(rows, 3.0 + 0.5 * rows)
    assert cost.of(6) == pytest.approx(6.0)

"""What the policy comes to in simulated pools, against what is best there."""

from __future__ import annotations

import random
import statistics

import pytest

from server.speculation import Choice, TrafficClass
from server.usage import Pool
from tests.server.speculation.simulated import PLAIN_S, Simulation, schema, share

RATIOS = (0.25, 0.4, 0.7, 0.9, 1.0, 1.1, 1.4, 2.0, 3.0)
CLASSES = tuple(schema(f"class-{ratio}") for ratio in RATIOS)
TRUE = dict(zip(CLASSES, RATIOS, strict=True))
SEEDS = range(12)


def cost(choices: list[Choice], ratio: float) -> float:
    """Mean expected time per token, in that of the plain pool."""
    return statistics.fmean(ratio if choice.pool == "speculative" else 1.0 for choice in choices)


def mixed(seed: int, requests: int) -> dict[TrafficClass, list[Choice]]:
    world = Simulation(TRUE.__getitem__, seed)
    rng = random.Random(f"mix:{seed}")
    taken: dict[TrafficClass, list[Choice]] = {cls: [] for cls in CLASSES}
    for _ in range(requests):
        cls = rng.choice(CLASSES)
        taken[cls].append(world.request(cls))
    return taken


@pytest.fixture(scope="module")
def streams() -> list[dict[TrafficClass, list[Choice]]]:
    return [mixed(seed, 2700) for seed in SEEDS]


def pooled(
    streams: list[dict[TrafficClass, list[Choice]]], cls: TrafficClass, learnt: int = 0
) -> list[Choice]:
    return [choice for taken in streams for choice in taken[cls][learnt:]]


def test_a_mixed_stream_is_within_5_percent_of_an_oracle_learning_included(
    streams: list[dict[TrafficClass, list[Choice]]],
) -> None:
    auto = statistics.fmean(cost(pooled(streams, cls), TRUE[cls]) for cls in CLASSES)
    assert auto / statistics.fmean(min(1.0, ratio) for ratio in RATIOS) < 1.05
    assert auto < statistics.fmean(RATIOS)


@pytest.mark.parametrize("cls", CLASSES, ids=str)
def test_no_learnt_class_is_2_percent_slower_than_all_plain(
    streams: list[dict[TrafficClass, list[Choice]]], cls: TrafficClass
) -> None:
    assert cost(pooled(streams, cls, learnt=150), TRUE[cls]) < 1.02


@pytest.mark.parametrize("ratio", [0.4, 2.0])
def test_a_class_is_learnt_within_a_few_requests(ratio: float) -> None:
    better: Pool = "speculative" if ratio < 1 else "plain"
    taken = [Simulation(lambda _: ratio, seed).run(schema("x"), 40) for seed in SEEDS]
    assert share([choice for choices in taken for choice in choices[15:]], better) > 0.85


def test_a_new_class_starts_where_its_kind_and_key_already_are() -> None:
    for seed in SEEDS:
        world = Simulation(lambda _: 2.0, seed)
        for number in range(12):
            world.run(schema(f"known-{number}", "app"), 12)
        first = world.policy.choose(
            schema("new", "app"), load={}, available=frozenset({"speculative", "plain"})
        )
        assert (first.pool, first.reason) == ("plain", "inherited") or first.explored


def test_a_schema_that_is_new_each_time_is_learnt_by_its_key() -> None:
    world = Simulation(lambda _: 2.0)
    choices = [world.request(schema(f"{number}", "app")) for number in range(300)]
    assert share(choices[100:], "plain") > 0.9


def test_a_class_unlike_its_kind_is_found_out() -> None:
    odd = schema("odd")
    late = []
    for seed in SEEDS:
        world = Simulation(lambda cls: 2.0 if cls == odd else 0.3, seed)
        for number in range(6):
            world.run(schema(f"usual-{number}"), 40)
        late += world.run(odd, 60)[30:]
    assert share(late, "plain") > 0.85


@pytest.mark.parametrize(
    ("before", "after", "typical", "most"),
    [(0.3, 1.5, 60, 250), (1.5, 0.4, 200, 700), (3.0, 0.4, 500, 1500)],
)
def test_a_changed_class_is_on_the_better_pool_again_within_bounds(
    before: float, after: float, typical: int, most: int
) -> None:
    """What was the better pool is seen to be slow at once; what was the worse is tried seldom."""
    waits = [recovery(before, after, seed) for seed in SEEDS]
    assert statistics.median(waits) < typical
    assert max(waits) < most


def recovery(before: float, after: float, seed: int) -> int:
    """Requests until 18 of 20 running are on the pool that is now the better."""
    ratio = before
    world = Simulation(lambda _: ratio, seed)
    world.run(schema("x"), 500)
    ratio = after
    better: Pool = "speculative" if after < 1 else "plain"
    recent: list[bool] = []
    while sum(recent[-20:]) < 18:
        recent.append(world.request(schema("x")).pool == better)
        assert len(recent) < 5000
    return len(recent) - 20


def test_both_pools_slower_is_no_reason_to_leave() -> None:
    """As when all prompts grow or the machine is shared: what is tried seldom looks no better."""
    factor = 1.0
    for seed in SEEDS:
        world = Simulation(lambda _: 0.7, seed)
        world.run(schema("x"), 400)
        taken = []
        for number in range(400):
            factor = 1 + number / 400
            choice = world.policy.choose(
                schema("x"), load={}, available=frozenset({"speculative", "plain"})
            )
            world.answer(schema("x"), choice.pool, slowed=factor)
            taken.append(choice)
        assert share(taken, "speculative") > 0.8


def test_long_prompts_are_not_taken_for_a_slow_pool() -> None:
    """A prompt takes up to seven times its answer, and that in both pools."""
    rng = random.Random(5)
    taken = []
    for seed in SEEDS:
        world = Simulation(
            lambda _: 0.6, seed, prefill_s=0.01, prompt=lambda: rng.randint(10, 3000)
        )
        taken += world.run(schema("x"), 200)[100:]
    assert share(taken, "speculative") > 0.9


def test_single_outliers_do_not_move_a_class() -> None:
    world = Simulation(lambda _: 0.7)
    world.run(schema("x"), 200)
    later = []
    for number in range(200):
        later.append(world.request(schema("x")))
        if number % 20 == 0:
            world.answer(schema("x"), "speculative", slowed=100)
    assert share(later, "speculative") > 0.9


def test_a_restarted_replica_is_believed_little_at_first() -> None:
    def after_slow_answers(restarted: bool) -> float:
        world = Simulation(lambda _: 0.6, noise=0.1)
        world.run(schema("x"), 200)
        replica = "another" if restarted else None
        for _ in range(6):
            world.answer(schema("x"), "speculative", slowed=4, replica=replica)
        choices = [one for one in world.run(schema("x"), 12) if not one.explored]
        return share(choices, "speculative")

    assert after_slow_answers(restarted=True) == 1.0
    assert after_slow_answers(restarted=False) < 0.5


def test_what_was_learnt_outlives_the_engines_it_was_learnt_from() -> None:
    world = Simulation(lambda _: 2.0)
    world.run(schema("x"), 200)
    for number in range(300):
        world.answer(schema("other"), "plain", replica=f"plain/{number}")
    assert share(world.run(schema("x"), 40), "plain") > 0.9


def test_load_moves_requests_and_leaves_the_class_where_it_is() -> None:
    """With eight others a token of the speculative pool takes five times as long."""
    world = Simulation(lambda _: 0.4, exponents={"speculative": 0.75, "plain": 0.1})
    for number in range(600):
        busy = float(number % 3 * 4)
        world.request(schema("x"), {"speculative": busy, "plain": busy})
    quiet = world.run(schema("x"), 100)
    crowded = world.run(schema("x"), 100, {"speculative": 8.0, "plain": 0.0})
    again = world.run(schema("x"), 100)
    assert share(quiet, "speculative") > 0.9
    assert share(crowded, "plain") > 0.9
    assert {choice.reason for choice in crowded if choice.pool == "plain"} == {"load"}
    assert share(again, "speculative") > 0.9


def test_it_learns_how_steep_each_pool_is() -> None:
    world = Simulation(lambda _: 0.5, exponents={"speculative": 0.8, "plain": 0.1})
    for number in range(800):
        busy = float(number % 5 * 2)
        world.request(schema(f"{number % 3}"), {"speculative": busy, "plain": busy})
        if number % 4 == 0:
            world.answer(schema("0"), "plain", busy)
    exponents = world.policy.snapshot()["load_exponent"]
    assert exponents["speculative"] == pytest.approx(0.8, abs=0.15)
    assert exponents["plain"] == pytest.approx(0.1, abs=0.15)


def test_a_day_without_requests_makes_it_less_sure_and_changes_nothing_else() -> None:
    world = Simulation(lambda _: 0.5)
    world.run(schema("x"), 100)
    (before,) = (c for c in world.policy.snapshot()["classes"] if c["class"] == "schema:x")
    world.now_s += 24 * 3600
    (after,) = (c for c in world.policy.snapshot()["classes"] if c["class"] == "schema:x")
    assert after["speculative"]["weight"] < before["speculative"]["weight"] / 10
    assert after["speculative"]["seconds_per_token"]["value"] == pytest.approx(
        before["speculative"]["seconds_per_token"]["value"]
    )
    assert after["time_ratio"]["high"] > before["time_ratio"]["high"]
    assert before["speculative"]["seconds_per_token"]["value"] == pytest.approx(
        0.5 * PLAIN_S, rel=0.15
    )

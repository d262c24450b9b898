"""What holds whatever is asked and answered."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from server.speculation import Answered, AutoPolicy, Choice, TrafficClass
from server.speculation.arm import Arm, Sample
from server.speculation.explore import ROOT_SHARE, ROOT_START, SHARE, START
from server.usage import POOLS, Pool
from tests.server.speculation.simulated import BOTH, Simulation, schema, share

MAX_CLASSES = 24
BRIEF = settings(max_examples=60)

pools = st.sampled_from(POOLS)
loads = st.fixed_dictionaries({}, optional=dict.fromkeys(POOLS, st.floats(0, 1e6)))
classes = st.builds(
    TrafficClass.of,
    st.sampled_from(["schema", "tools", "system", "text"]),
    digest=st.none() | st.sampled_from([f"{number}" for number in range(40)]),
    key_id=st.none() | st.sampled_from(["a", "b"]),
)


@dataclass(frozen=True)
class Step:
    cls: TrafficClass
    load: dict[Pool, float]
    available: frozenset[Pool]
    seconds: float
    tokens: int
    prompt_tokens: int
    first_s: float | None
    pause_s: float
    restart: bool


steps = st.lists(
    st.builds(
        Step,
        cls=classes,
        load=loads,
        available=st.sampled_from([BOTH, BOTH, frozenset({"plain"}), frozenset({"speculative"})]),
        seconds=st.floats(0, 1e5),
        tokens=st.integers(0, 10_000),
        prompt_tokens=st.integers(0, 100_000),
        first_s=st.none() | st.floats(0, 1e4),
        pause_s=st.sampled_from([0.0, 1.0, 1e5]),
        restart=st.booleans(),
    ),
    max_size=120,
)


@dataclass
class Driven:
    """A policy that went through `steps`."""

    policy: AutoPolicy
    choices: list[tuple[Step, Choice]]


def drive(taken: Iterable[Step], seed: int) -> Driven:
    now, starts = 0.0, 0
    policy = AutoPolicy(clock=lambda: now, rng=random.Random(seed), max_classes=MAX_CLASSES)
    choices = []
    for step in taken:
        now += step.pause_s
        starts += step.restart
        choice = policy.choose(step.cls, load=step.load, available=step.available)
        took = Answered(
            choice.pool, f"{choice.pool}/{starts}", step.tokens, step.seconds,
            step.load.get(choice.pool, 0.0), step.prompt_tokens, step.first_s,
        )  # fmt: skip
        policy.observed(step.cls, took)
        choices.append((step, choice))
    return Driven(policy, choices)


@BRIEF
@given(steps, st.integers(0, 99))
def test_it_only_chooses_what_is_available_and_says_when_that_was_no_choice(
    taken: list[Step], seed: int
) -> None:
    for step, choice in drive(taken, seed).choices:
        assert choice.pool in step.available
        assert (choice.reason == "only_pool") == (len(step.available) == 1)
        assert choice.explored == (choice.reason == "explore")


@BRIEF
@given(steps, st.integers(0, 99))
def test_exploration_is_bounded_per_class_and_in_all(taken: list[Step], seed: int) -> None:
    asked: Counter[str] = Counter()
    explored: Counter[str] = Counter()
    for step, choice in drive(taken, seed).choices:
        asked.update({str(step.cls), "all"})
        explored.update({str(step.cls): choice.explored, "all": choice.explored})
    assert explored.pop("all", 0) <= ROOT_START + ROOT_SHARE * asked["all"]
    if len(asked) < MAX_CLASSES:
        assert all(count <= START + SHARE * asked[name] for name, count in explored.items())


@BRIEF
@given(steps, st.integers(0, 99))
def test_what_it_keeps_is_bounded_and_finite(taken: list[Step], seed: int) -> None:
    document = drive(taken, seed).policy.snapshot()
    assert len(document["classes"]) <= MAX_CLASSES
    for kept in document["classes"]:
        ratio = kept["time_ratio"]
        assert 0 < ratio["low"] <= ratio["value"] <= ratio["high"] < float("inf")


def test_no_pool_is_an_error_of_the_caller() -> None:
    with pytest.raises(ValueError, match="No pool is available"):
        drive([], 0).policy.choose(schema("x"), load={}, available=frozenset())


def test_a_table_too_small_for_the_widest_classes_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 16"):
        AutoPolicy(clock=lambda: 0.0, rng=random.Random(0), max_classes=15)


def test_one_client_with_a_new_schema_each_time_does_not_push_the_others_out() -> None:
    """Of 64 places; the flood also stays within the bound on exploration over all classes."""
    world = Simulation(lambda cls: 2.0 if "known" in str(cls) else 0.5)
    for number in range(10):
        world.run(schema(f"known-{number}", "a"), 30)
    flood = [world.request(schema(f"flood-{number}", "b")) for number in range(1000)]
    assert sum(choice.explored for choice in flood) <= ROOT_START + ROOT_SHARE * 1000
    document = world.policy.snapshot()
    kept = {entry["class"] for entry in document["classes"]}
    assert {f"schema:known-{number}" for number in range(10)} <= kept
    assert len(kept) == 64
    assert document["classes_evicted"] > 900


samples = st.builds(
    Sample,
    value=st.floats(1e-4, 10),
    tokens=st.integers(1, 500),
    load=st.floats(0, 5),
    trust=st.sampled_from([0.25, 1.0]),
)


@given(st.lists(samples, max_size=30), samples, st.floats(1, 100), st.floats(0, 1.5))
def test_a_slower_answer_never_makes_a_pool_look_faster(
    history: list[Sample], last: Sample, slower: float, exponent: float
) -> None:
    fast, slow = Arm(), Arm()
    for arm in (fast, slow):
        for sample in history:
            arm.add(sample, sample.trust, exponent)
    worse = Sample(last.value * slower, last.tokens, last.load, last.trust)
    before = fast.at(last.load, exponent)
    fast.add(last, last.trust, exponent)
    slow.add(worse, worse.trust, exponent)
    after = fast.at(last.load, exponent)
    assert slow.at(last.load, exponent) >= after * (1 - 1e-9)
    if history:
        assert (after - before) * (last.value - before) >= -1e-9 * before**2


@settings(max_examples=25)
@given(st.floats(1.15, 4), st.sampled_from(POOLS), st.integers(0, 999))
def test_enough_evidence_always_wins(factor: float, better: Pool, seed: int) -> None:
    ratio = 1 / factor if better == "speculative" else factor
    world = Simulation(lambda _: ratio, seed, noise=0.15)
    assert share(world.run(schema("x"), 400)[250:], better) > 0.8


@BRIEF
@given(st.floats(0, 50), st.floats(0, 50), st.integers(0, 999))
def test_a_busier_pool_is_never_preferred_for_that(busy: float, more: float, seed: int) -> None:
    def chosen(load: float) -> Choice:
        world = Simulation(lambda _: 0.8, seed)
        world.run(schema("x"), 30)
        return world.policy.choose(schema("x"), load={"speculative": load}, available=BOTH)

    before, after = chosen(busy), chosen(busy + more)
    assume(not (before.explored or after.explored))
    if before.pool == "plain":
        assert after.pool == "plain"

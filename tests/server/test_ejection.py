"""When a replica is passed over, for how long, and what brings it back."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.config.sections import EjectionConfig
from server.pools.ejection import Ejector, Record

CONFIG = EjectionConfig(errors=3, seconds=10, max_seconds=40, slow_requests=5, slow_factor=3)


@dataclass
class World:
    """A pool's records under a clock that the test moves."""

    size: int = 2
    config: EjectionConfig = CONFIG
    now: float = 100.0
    seen: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.pool = [Record(f"r{place}", "plain") for place in range(self.size)]
        self.ejector = Ejector(
            self.config, lambda: self.now, lambda name, why: self.seen.append((name, why))
        )

    def fails(self, place: int = 0, times: int = 1) -> None:
        for _ in range(times):
            self.ejector.failed(self.pool[place], self.pool)

    def answers(self, place: int = 0, pace: float | None = 0.01, times: int = 1) -> None:
        for _ in range(times):
            self.ejector.succeeded(self.pool[place], pace, self.pool)

    def standing(self, place: int = 0) -> str:
        return self.ejector.standing(self.pool[place])


def test_failures_in_a_row_eject_and_others_do_not() -> None:
    world = World()
    for _ in range(5):
        world.fails(times=2)
        world.answers()
    assert world.standing() == "in"
    world.fails(times=3)
    assert world.standing() == "out"
    assert not world.ejector.usable(world.pool[0])
    assert world.seen == [("r0", "errors")]


def test_one_probe_at_a_time_decides() -> None:
    world = World()
    world.fails(times=3)
    world.now += 10
    assert world.standing() == "half-open"
    with world.ejector.trial(world.pool[0]):
        assert not world.ejector.usable(world.pool[0])
        world.fails()
    assert world.seen[-1] == ("r0", "probe")
    world.now += 19
    assert world.standing() == "out"  # Twice as long as the first time.
    world.now += 1
    assert world.ejector.usable(world.pool[0])
    with world.ejector.trial(world.pool[0]):
        world.answers()
    assert world.standing() == "in"


def test_a_probe_that_says_nothing_leaves_room_for_another() -> None:
    world = World()
    world.fails(times=3)
    world.now += 10
    with world.ejector.trial(world.pool[0]):
        pass  # Its client left.
    assert world.ejector.usable(world.pool[0])
    assert world.standing() == "half-open"


def test_ejections_grow_to_a_bound_and_a_quiet_time_starts_anew() -> None:
    world = World()
    lasted = []
    for _ in range(5):
        world.fails(times=3)
        until = world.pool[0].out_until
        assert until is not None
        lasted.append(until - world.now)
        world.now = until
    assert lasted == [10, 20, 40, 40, 40]
    world.answers()
    world.now += 41
    world.fails(times=3)
    assert world.pool[0].out_until == world.now + 10


def test_a_slow_replica_is_ejected_once_there_is_enough_to_say_so() -> None:
    world = World(size=3)
    world.answers(0, 0.04, times=4)
    for place in (1, 2):
        world.answers(place, 0.01, times=5)
    assert world.standing() == "in"
    world.answers(0, 0.04)
    assert (world.standing(), world.seen) == ("out", [("r0", "slow")])
    world.now += 10
    world.answers(0, 0.04)
    assert world.standing() == "in"  # It answers; whether it is slow still takes five more.


@pytest.mark.parametrize("pace", [0.01, 0.029, None])
def test_a_replica_that_is_a_little_slower_stays(pace: float | None) -> None:
    world = World()
    world.answers(1, 0.01, times=50)
    world.answers(0, pace, times=50)
    assert world.standing() == "in"


def test_the_other_pool_is_no_measure_of_what_is_slow() -> None:
    world = World()
    world.pool[1].pool = "speculative"
    world.answers(1, 0.01, times=50)
    world.answers(0, 0.05, times=50)
    assert world.standing() == "in"


def test_nobody_is_slow_alone() -> None:
    world = World(size=1)
    world.answers(0, 5.0, times=50)
    assert world.standing() == "in"


EVENTS = st.lists(
    st.tuples(
        st.integers(0, 4), st.sampled_from(["fail", "fast", "slow", "short"]), st.floats(0, 15)
    ),
    max_size=120,
)


@given(st.integers(1, 5), st.floats(0, 1), EVENTS)
def test_never_more_than_the_share_is_out(
    size: int, share: float, events: list[tuple[int, str, float]]
) -> None:
    world = World(size, CONFIG.model_copy(update={"max_share": share}))
    for place, event, passed in events:
        if event == "fail":
            world.fails(place % size)
        else:
            pace = {"fast": 0.01, "slow": 1.0, "short": None}[event]
            world.answers(place % size, pace)
        world.now += passed
        out = sum(record.out_until is not None for record in world.pool)
        assert out <= int(share * size)

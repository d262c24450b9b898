"""Which replica of a pool gets a prompt."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from server.pools.balance import choose


@dataclass(frozen=True)
class Loaded:
    name: str
    outstanding: float = 0.0


LOADS = st.lists(st.floats(0, 1e6), min_size=1, max_size=6)
PREFIXES = st.binary(max_size=8)


def replicas(loads: list[float]) -> list[Loaded]:
    return [Loaded(f"r{place}", load) for place, load in enumerate(loads)]


@given(LOADS, PREFIXES, st.integers(0, 10_000))
def test_never_more_than_the_affinity_above_the_least(
    loads: list[float], prefix: bytes, affinity: int
) -> None:
    chosen = choose(replicas(loads), prefix, affinity)
    assert chosen.outstanding <= min(loads) + affinity


@given(LOADS, PREFIXES, st.integers(1, 10_000))
def test_a_prefix_stays_while_its_replica_is_near_the_least(
    loads: list[float], prefix: bytes, affinity: int
) -> None:
    idle = [Loaded(one.name) for one in replicas(loads)]
    home = choose(idle, prefix, affinity)
    busy = {one.name: one for one in replicas(loads)}[home.name]
    chosen = choose(replicas(loads), prefix, affinity)
    if busy.outstanding < min(loads) + affinity:
        assert chosen.name == home.name
    else:
        assert chosen.outstanding == min(loads)


@given(st.integers(2, 6), st.lists(PREFIXES, min_size=1, max_size=50, unique=True))
def test_only_the_prefixes_of_a_replica_that_goes_move(number: int, prefixes: list[bytes]) -> None:
    before = [Loaded(f"r{place}") for place in range(number)]
    gone = before[0]
    for prefix in prefixes:
        home = choose(before, prefix, 1)
        if home != gone:
            assert choose(before[1:], prefix, 1) == home


def test_prefixes_are_spread_over_idle_replicas() -> None:
    idle = [Loaded("a"), Loaded("b"), Loaded("c")]
    homes = Counter(choose(idle, bytes([place]), 100).name for place in range(240))
    assert all(40 < count < 120 for count in homes.values())
    assert len(homes) == 3


def test_without_affinity_the_least_loaded_gets_it() -> None:
    assert choose([Loaded("a", 5), Loaded("b", 4.5)], b"x", 0).name == "b"

"""When requests leave, by a clock that nothing else moves."""

import asyncio
import random
import statistics
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.load import at_once, at_times, offsets
from bench.settings import Arrivals

pytestmark = pytest.mark.anyio


@given(st.floats(0.1, 100), st.integers(1, 5), st.integers(1, 40), st.integers())
def test_bursts_leave_together_and_in_order(rate: float, burst: int, count: int, seed: int) -> None:
    found = offsets(Arrivals(rate=rate, burst=burst), count, random.Random(seed))
    assert len(found) == count
    assert found == sorted(found)
    assert found[0] == 0
    whole = [found[at : at + burst] for at in range(0, count, burst)]
    assert all(len(set(together)) == 1 for together in whole)


@pytest.mark.parametrize("burst", [1, 4])
def test_the_rate_is_the_one_asked_for_and_the_gaps_are_exponential(burst: int) -> None:
    count = 20_000
    found = offsets(Arrivals(rate=8, burst=burst), count, random.Random(1))
    assert count / found[-1] == pytest.approx(8, rel=0.05)
    starts = found[::burst]
    gaps = [b - a for a, b in pairwise(starts)]
    assert statistics.stdev(gaps) == pytest.approx(statistics.fmean(gaps), rel=0.05)


async def test_an_open_loop_waits_for_nobody() -> None:
    never, started = asyncio.Event(), list[int]()

    async def work(job: int, late_ms: float) -> None:
        assert late_ms >= 0
        started.append(job)
        if len(started) == 3:
            never.set()
        await never.wait()

    async with asyncio.timeout(30):
        await at_times([0, 0, 0.01], [1, 2, 3], work)
    assert started == [1, 2, 3]


async def test_a_closed_loop_has_no_more_in_flight_than_it_may() -> None:
    running, most = 0, 0

    async def work(_: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    await at_once(3, range(20), work)
    assert most == 3

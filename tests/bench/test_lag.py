"""The client's own standing still is seen, and laid to the requests it fell into."""

import asyncio
import gc
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.lag import Lag, no_collections, watched_lag

pytestmark = pytest.mark.anyio
STOOD_STILL_S = 0.15


def stand_still() -> None:
    time.sleep(STOOD_STILL_S)


async def test_a_loop_that_stands_still_is_seen() -> None:
    async with watched_lag() as lag:
        await asyncio.sleep(0.02)
        start = time.perf_counter_ns()
        stand_still()
        await asyncio.sleep(0.02)
        end = time.perf_counter_ns()
    # All but what of the watcher's own period had still to run.
    assert lag.worst_ms(start, end) > 0.9 * 1e3 * STOOD_STILL_S
    assert lag.worst_ms(end + 10**9, end + 2 * 10**9) == 0


async def test_standing_still_to_the_very_end_counts() -> None:
    async with watched_lag() as lag:
        await asyncio.sleep(0.02)
        start = time.perf_counter_ns()
        stand_still()
    assert lag.worst_ms(start, time.perf_counter_ns()) > 0.9 * 1e3 * STOOD_STILL_S


def test_no_garbage_is_collected_meanwhile() -> None:
    def collections() -> list[int]:
        return [one["collections"] for one in gc.get_stats()]

    before = collections()
    with no_collections():
        at_start = collections()
        for _ in range(100_000):
            ring: list[object] = []
            ring.append(ring)
        assert collections() == at_start
    assert at_start[2] > before[2]
    assert gc.isenabled()


def test_garbage_is_collected_again_after_a_failure() -> None:
    with pytest.raises(KeyError), no_collections():
        raise KeyError
    assert gc.isenabled()


spans = st.tuples(st.integers(0, 1000), st.integers(1, 100))


@given(st.lists(spans), st.integers(0, 1000), st.integers(0, 200))
def test_only_what_overlaps_a_request_counts(
    late: list[tuple[int, int]], start: int, length: int
) -> None:
    end = start + length
    overlapping = [by for at, by in late if max(at - by, start) <= min(at, end)]
    assert Lag(late).worst_ms(start, end) == max(overlapping, default=0) / 1e6

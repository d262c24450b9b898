"""The benchmark and the soak themselves, cut short, on the real gateway."""

from __future__ import annotations

import pytest

from bench.gateway.contestants import SPECSERVE
from bench.gateway.run import Bench, Cores, Plan
from bench.gateway.soak import soak

SHORT = Plan(
    streams=(1, 8), chunks=25, calls_s=0.5, open_streams=50, open_step_ms=50, open_spread_s=0.2
)


@pytest.mark.anyio
async def test_every_chunk_is_seen_in_order_and_timed() -> None:
    told: list[str] = []
    direct, ours = await Bench(SHORT, Cores.chosen(), told.append).run([SPECSERVE])
    for figures in (direct, ours):
        for count, series in figures.streams.items():
            assert series.is_complete
            assert series.arrived == count * SHORT.chunks
            assert 0 < series.median <= series.p99 <= series.worst
        assert figures.calls is not None
        assert figures.calls.failed == 0
        assert figures.calls.per_second > 0
    assert direct.memory is None
    assert ours.memory is not None
    assert ours.memory.complete == SHORT.open_streams
    assert ours.memory.peak >= ours.memory.before > 1
    assert told


@pytest.mark.anyio
async def test_a_short_soak_leaves_nothing_behind() -> None:
    found = await soak(0.05, lambda text: None, clients=8, restart_s=1.0)
    assert found.faults == ()
    assert found.outcomes["stream"] > 0
    assert found.engine_restarts > 0

"""How many stream events a second the bench's client stamps before it is the limit itself.

A fake engine on a core of its own sends on a schedule and writes into each event when it sent it.
The client is the very one that measures engines; the verdict per level is that of a real run.
"""

import asyncio
import os
import re
import statistics
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from bench.child import log_folder, ready_child
from bench.client import Call, Target, send
from bench.client_limit import CLIENT_LIMITS, ClientLimits, exceeded
from bench.engines import free_port
from bench.errors import EngineFailedError
from bench.gateway.run import READY_S, Cores, fake_engine, pinned
from bench.lag import Lag, no_collections, watched_lag
from bench.wire import Exchange

LEVELS = (8, 16, 32, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
STEP_MS = 20.0
SECONDS = 4.0
BEHIND_MS = STEP_MS
"""Of the fake engine's own schedule, at the 99th percentile: above it, it is the limit."""
EVENT = re.compile(rb'"content":"(\d+):(\d+);"')
Say = Callable[[str], None]


@dataclass(frozen=True)
class Level:
    """Times in ms; shares of a core or of the time."""

    streams: int
    events_per_s: float
    bytes_per_event: float
    cpu: float
    stalled: float
    delay_median: float
    """From the engine's send to the client's stamp."""
    delay_p99: float
    delay_worst: float
    engine_behind_p99: float
    reasons: tuple[str, ...]
    """Why a run at this load would be called invalid; empty if it would not."""

    @property
    def engine_is_limit(self) -> bool:
        return self.engine_behind_p99 > BEHIND_MS


async def capacity(
    say: Say,
    *,
    levels: Sequence[int] = LEVELS,
    seconds: float = SECONDS,
    limits: ClientLimits = CLIENT_LIMITS,
) -> list[Level]:
    """Levels up to the first at which client or engine is the limit.

    Raises EngineFailedError, UsageProblemError.
    """
    cores = Cores.chosen()
    before = os.sched_getaffinity(0)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    found: list[Level] = []
    with log_folder() as folder:
        argv = (*pinned(cores.load), *fake_engine(port))
        log = folder / "fake-engine.log"
        os.sched_setaffinity(0, {cores.contestant})
        try:
            async with ready_child("fake engine", argv, f"{url}/health", log, READY_S):
                for streams in levels:
                    say(f"{streams} streams, {streams * 1e3 / STEP_MS:,.0f} events/s")
                    found.append(await _level(url, streams, round(seconds * 1e3 / STEP_MS), limits))
                    if found[-1].reasons or found[-1].engine_is_limit:
                        break
        finally:
            os.sched_setaffinity(0, before)
    return found


async def _level(url: str, streams: int, chunks: int, limits: ClientLimits) -> Level:
    target = Target("plain", url, "fake")

    async def one(index: int) -> Exchange:
        # Spread over a step, as streams of different requests are.
        await asyncio.sleep(index * STEP_MS / 1e3 / streams)
        return await send(target, Call((0,), chunks, f"capacity-{index}"))

    with no_collections():
        started = time.perf_counter()
        async with watched_lag() as lag:
            done = await asyncio.gather(*(one(index) for index in range(streams)))
        took = time.perf_counter() - started
    problem = next((each.problem for each in done if each.problem), None)
    if problem:
        raise EngineFailedError(f"The fake engine failed at {streams} streams: {problem}.")
    events = [list(_events(each)) for each in done]
    if any(len(each) != chunks for each in events):
        raise EngineFailedError(f"At {streams} streams events were lost: raise no limit from this.")
    reasons = tuple(exceeded(lag.cpu, lag.stalled, limits))
    return _figures(streams, took, done, events, lag, reasons)


def _figures(
    streams: int,
    took: float,
    done: Sequence[Exchange],
    events: Sequence[Sequence[tuple[int, int]]],
    lag: Lag,
    reasons: tuple[str, ...],
) -> Level:
    delays = [(stamped - sent) / 1e6 for each in events for sent, stamped in each]
    behind = [
        (sent - each[0][0]) / 1e6 - number * STEP_MS
        for each in events
        for number, (sent, _) in enumerate(each)
    ]
    total = sum(len(read.data) for each in done for read in each.reads)
    return Level(
        streams=streams,
        events_per_s=len(delays) / took,
        bytes_per_event=total / len(delays),
        cpu=lag.cpu,
        stalled=lag.stalled,
        delay_median=statistics.median(delays),
        delay_p99=_p99(delays),
        delay_worst=max(delays),
        engine_behind_p99=_p99(behind),
        reasons=reasons,
    )


def _events(done: Exchange) -> Iterator[tuple[int, int]]:
    """When each event was sent, and when the read that completed it was stamped, in ns."""
    data = b"".join(read.data for read in done.reads)
    ends = list(accumulate(len(read.data) for read in done.reads))
    for match in EVENT.finditer(data):
        yield int(match[2]), done.reads[bisect_right(ends, match.end() - 1)].at_ns


def _p99(values: Sequence[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.99))]

"""When requests leave: so many in flight (closed loop), or at drawn times (open loop)."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar

from bench.settings import Arrivals
from bench.wire import Clock

T = TypeVar("T")


async def at_once(
    concurrency: int, jobs: Iterable[T], work: Callable[[T], Awaitable[None]]
) -> None:
    """A closed loop: the next job starts when one of `concurrency` has ended."""
    queue = iter(jobs)

    async def worker() -> None:
        for job in queue:
            await work(job)

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(worker())


def offsets(arrivals: Arrivals, count: int, rng: random.Random) -> list[float]:
    """Seconds after the start at which `count` requests leave; the first burst leaves at 0."""
    times: list[float] = []
    now = 0.0
    while len(times) < count:
        times += [now] * arrivals.burst
        now += rng.expovariate(arrivals.rate / arrivals.burst)
    return times[:count]


async def at_times(
    times: Sequence[float],
    jobs: Sequence[T],
    work: Callable[[T, float], Coroutine[Any, Any, None]],
    clock: Clock = time.perf_counter_ns,
) -> None:
    """An open loop: each job starts at its time, whatever the others do.

    `work` also gets how many ms after its time it was started.
    """
    start = clock()
    async with asyncio.TaskGroup() as group:
        for seconds, job in zip(times, jobs, strict=True):
            due = start + round(seconds * 1e9)
            await asyncio.sleep(max(0.0, (due - clock()) / 1e9))
            group.create_task(work(job, (clock() - due) / 1e6))

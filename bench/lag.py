"""Whether the client itself stood still: how late its own event loop ran, and what CPU it took."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field

from bench.wire import Clock

PERIOD_S = 0.005


@dataclass
class Lag:
    """Pairs of when a wake-up came and how late it was, both in ns of the same clock."""

    late: list[tuple[int, int]] = field(default_factory=list)
    started_ns: int = 0
    ended_ns: int = 0
    cpu_ns: int = 0
    """CPU time of the loop's own thread, which is all that stamps."""

    def worst_ms(self, start_ns: int, end_ns: int) -> float:
        """The longest time within [start, end] in which nothing could be stamped."""
        hit = (by for at, by in self.late if at >= start_ns and at - by <= end_ns)
        return max(hit, default=0) / 1e6

    @property
    def stalled(self) -> float:
        """Share of the time watched in which nothing could be stamped for longer than a period."""
        long = sum(by for _, by in self.late if by > PERIOD_S * 1e9)
        return long / max(1, self.ended_ns - self.started_ns)

    @property
    def cpu(self) -> float:
        """CPU seconds per second."""
        return self.cpu_ns / max(1, self.ended_ns - self.started_ns)


@contextmanager
def no_collections() -> Iterator[None]:
    """Garbage is collected before and not during: a collection walks all that earlier blocks left,
    and nothing is stamped meanwhile."""
    was = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


@asynccontextmanager
async def watched_lag(
    clock: Clock = time.perf_counter_ns, period_s: float = PERIOD_S
) -> AsyncIterator[Lag]:
    """Watches the running event loop while the block runs."""
    started = last = clock()
    lag, cpu = Lag(started_ns=started), time.thread_time_ns()

    def look() -> None:
        nonlocal last
        now = clock()
        by = now - last - round(period_s * 1e9)
        if by > 0:
            lag.late.append((now, by))
        last = now

    async def watch() -> None:
        while True:
            await asyncio.sleep(period_s)
            look()

    task = asyncio.create_task(watch())
    try:
        yield lag
    finally:
        look()
        lag.ended_ns, lag.cpu_ns = last, time.thread_time_ns() - cpu
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

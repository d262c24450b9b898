"""Whether the client itself stood still: how late its own event loop ran."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from bench.wire import Clock

PERIOD_S = 0.005


@dataclass
class Lag:
    """Pairs of when a wake-up came and how late it was, both in ns of the same clock."""

    late: list[tuple[int, int]] = field(default_factory=list)

    def worst_ms(self, start_ns: int, end_ns: int) -> float:
        """The longest time within [start, end] in which nothing could be stamped."""
        hit = (by for at, by in self.late if at >= start_ns and at - by <= end_ns)
        return max(hit, default=0) / 1e6


@asynccontextmanager
async def watched_lag(
    clock: Clock = time.perf_counter_ns, period_s: float = PERIOD_S
) -> AsyncIterator[Lag]:
    """Watches the running event loop while the block runs."""
    lag, last = Lag(), clock()

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
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

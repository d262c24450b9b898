"""How much of this process's CPUs others take, sampled while our own engines are idle."""

import asyncio
import os
import time
from contextlib import suppress

import psutil  # type: ignore[import-untyped]

WATCH_S = 2.0
BUSY_SHARE = 0.1
"""Of the CPUs that we may use: above it, times are not to be trusted."""


async def others_cpu(watch_s: float = WATCH_S) -> float:
    """CPUs' worth of time taken for `watch_s` by anything but this process and its descendants.

    Counted on the CPUs that this process may use and only there, so that the rest of a container's
    host does not matter.
    """
    started, busy, own = time.monotonic(), _busy_s(), _own_s()
    await asyncio.sleep(watch_s)
    taken = (_busy_s() - busy) - (_own_s() - own)
    return round(max(0.0, taken) / (time.monotonic() - started), 3)


def _busy_s() -> float:
    # What a hypervisor stole is in it; user time already holds a guest's.
    every = psutil.cpu_times(percpu=True)
    mine = [every[cpu] for cpu in os.sched_getaffinity(0) if cpu < len(every)]
    return float(sum(sum(one) - one.idle - one.iowait - one.guest - one.guest_nice for one in mine))


def _own_s() -> float:
    me = psutil.Process()
    spent = 0.0
    for one in (me, *me.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            times = one.cpu_times()
            spent += times.user + times.system
    return spent

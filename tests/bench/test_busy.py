"""Others' work is seen; our own children's is not theirs. True on a loaded machine too."""

import asyncio
import os
import signal
import subprocess
import sys

import psutil  # type: ignore[import-untyped]

from bench.busy import others_cpu

SPIN = "import time\nend = time.monotonic() + 60\nwhile time.monotonic() < end: pass"
# Started by a process that has left, so that it is nobody's of ours.
ORPHAN = f"""
import subprocess, sys
quiet = subprocess.DEVNULL
print(subprocess.Popen([sys.executable, "-c", {SPIN!r}], stdout=quiet, stderr=quiet).pid)
"""
# Clock ticks of 10 ms on each core, and what the scan itself takes.
SLACK = 0.3


def used_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def test_what_our_children_take_is_not_others() -> None:
    cores = len(os.sched_getaffinity(0))
    spinning = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(cores)]
    try:
        before = sum(used_s(one.pid) for one in spinning)
        others = asyncio.run(others_cpu(1.0))
        ours = sum(used_s(one.pid) for one in spinning) - before
    finally:
        for one in spinning:
            one.kill()
            one.wait()
    assert others <= cores - ours + SLACK


def test_what_others_take_is_seen() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ORPHAN], capture_output=True, text=True, check=True
    )
    pid = int(done.stdout)
    try:
        before = used_s(pid)
        others = asyncio.run(others_cpu(1.0))
        assert others >= used_s(pid) - before - SLACK
    finally:
        os.kill(pid, signal.SIGKILL)

"""Child engines: started, checked, lost, restarted, given up, and never left behind."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from neuron.errors import LaunchError
from neuron.launch import Command, Endpoint
from server.engine_status import EngineStatus
from server.engines import EngineProcess
from server.supervisor import RestartPolicy, Supervisor
from tests.server.waiting import WAIT_S, until

pytestmark = pytest.mark.anyio
CHILD = Path(__file__).with_name("fake_child.py")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def fake(log: Path, mode: str = "", *, stop_grace_s: float = 5.0) -> EngineProcess:
    port = free_port()
    argv = (sys.executable, str(CHILD), str(port), *([mode] if mode else []))
    return EngineProcess(
        Command(argv, {}), Endpoint(port=port), "fake", log=log, stop_grace_s=stop_grace_s
    )


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def test_started_checked_and_ended(tmp_path: Path) -> None:
    async with fake(tmp_path / "log") as engine:
        await engine.wait_ready(WAIT_S)
        assert await engine.healthy()
        assert engine.returncode is None
        group = engine.pid
        (child,) = children(group)
        assert os.getpgid(child) == group
    assert engine.returncode is not None
    await until(lambda: not alive(child))
    assert "fake engine" in engine.log_tail()


async def test_a_crash_at_start_says_code_and_log(tmp_path: Path) -> None:
    async with fake(tmp_path / "log", "crash") as engine:
        with pytest.raises(LaunchError, match=r"code 3 .*log.* ends: fake engine crash"):
            await engine.wait_ready(WAIT_S)


async def test_a_command_that_is_not_there(tmp_path: Path) -> None:
    command = Command(("/nowhere/python",), {})
    async with EngineProcess(
        command, Endpoint(port=free_port()), "fake", log=tmp_path / "log"
    ) as engine:
        with pytest.raises(LaunchError, match="cannot be run"):
            await engine.wait_ready(WAIT_S)


async def test_not_ready_in_time(tmp_path: Path) -> None:
    command = Command(("/bin/sleep", "600"), {})
    async with EngineProcess(
        command, Endpoint(port=free_port()), "fake", log=tmp_path / "log"
    ) as engine:
        with pytest.raises(LaunchError, match=r"not ready after 0\.5 s"):
            await engine.wait_ready(0.5)


async def test_one_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    async with fake(tmp_path / "log", "deaf", stop_grace_s=0.2) as engine:
        await engine.wait_ready(WAIT_S)
        (child,) = children(engine.pid)
    await until(lambda: not alive(child))


async def test_workers_of_the_engine_end_with_it(tmp_path: Path) -> None:
    async with fake(tmp_path / "log", "fork") as engine:
        await engine.wait_ready(WAIT_S)
        worker = int(engine.log_tail().split("worker ")[1].split()[0])
        assert alive(worker)
    await until(lambda: not alive(worker))


GATEWAY_THAT_IS_KILLED = """
import sys, anyio
from pathlib import Path
from tests.server.test_supervision import fake, children
async def main():
    async with fake(Path(sys.argv[1]), "fork") as engine:
        await engine.wait_ready(60)
        print(engine.pid, *children(engine.pid), flush=True)
        await anyio.sleep_forever()
anyio.run(main)
"""


@contextmanager
def parent_of_an_engine(log: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", GATEWAY_THAT_IS_KILLED, str(log)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=CHILD.parents[2],
    ) as parent:
        try:
            yield parent
        finally:
            parent.kill()


async def test_no_orphans_after_the_parent_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with parent_of_an_engine(log) as parent:
        assert parent.stdout is not None
        printed = await anyio.to_thread.run_sync(parent.stdout.readline)
        worker = log.read_text().split("worker ")[1].split()[0]
        pids = [int(pid) for pid in (*printed.split(), worker)]
        assert len(pids) == 3
        assert all(alive(pid) for pid in pids)
    await until(lambda: not any(alive(pid) for pid in pids))


class Recorder:
    def __init__(self) -> None:
        self.states: list[str] = []
        self.delays: list[float] = []

    def changed(self, status: EngineStatus) -> None:
        if self.states[-1:] != [status.state]:
            self.states.append(status.state)

    async def sleep(self, seconds: float) -> None:
        self.delays.append(seconds)


async def test_a_killed_engine_is_started_again(tmp_path: Path) -> None:
    seen, engines = Recorder(), list[EngineProcess]()

    def spawn() -> EngineProcess:
        engines.append(fake(tmp_path / "log"))
        return engines[-1]

    supervisor = Supervisor(spawn, seen.changed, sleep=seen.sleep)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(supervisor.run)
        await until(lambda: supervisor.status.state == "ready")
        os.killpg(engines[0].pid, signal.SIGKILL)
        await until(lambda: supervisor.status.restarts == 1)
        await until(lambda: supervisor.status.state == "ready")
        tasks.cancel_scope.cancel()
    assert seen.states == ["starting", "ready", "restarting", "ready", "stopped"]
    assert engines[-1].returncode is not None


async def test_a_crash_loop_ends_with_growing_delays(tmp_path: Path) -> None:
    seen = Recorder()
    policy = RestartPolicy(max_failures=4, first_delay_s=1.0)
    supervisor = Supervisor(
        lambda: fake(tmp_path / "log", "crash"), seen.changed, policy, sleep=seen.sleep
    )
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(supervisor.run)
        await until(lambda: supervisor.status.state == "failed")
        tasks.cancel_scope.cancel()
    assert supervisor.status.restarts == 3
    assert "code 3" in (supervisor.status.reason or "")
    assert [0.5 <= delay / 2**place <= 1.0 for place, delay in enumerate(seen.delays)] == [True] * 3


def test_delays_are_spread_and_bounded() -> None:
    policy = RestartPolicy(first_delay_s=1.0, max_delay_s=8.0)
    rng = random.Random(0)
    delays = {policy.delay_s(50, rng) for _ in range(100)}
    assert len(delays) == 100
    assert all(4.0 <= delay <= 8.0 for delay in delays)

"""Child engines: started, checked, lost, restarted, given up, and never left behind."""

from __future__ import annotations

import os
import random
import resource
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
        await until(lambda: "worker " in log.read_text())
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


async def test_a_crash_loop_ends_with_growing_delays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
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
    assert supervisor.status.reason == "the engine ended with code 3 while it was starting"
    told = capsys.readouterr().err
    assert f"its log is {tmp_path / 'log'} and ends: fake engine crash" in told
    assert [0.5 <= delay / 2**place <= 1.0 for place, delay in enumerate(seen.delays)] == [True] * 3


@pytest.mark.parametrize(
    ("log", "environment"),
    [
        ("/proc/nope/log", {}),
        # No process can be made with it, as with no memory or no descriptor left.
        (os.devnull, {"BIG": "x" * 8_000_000}),
    ],
    ids=["log", "process"],
)
async def test_what_the_system_refuses_is_a_failed_start(
    log: str, environment: dict[str, str]
) -> None:
    seen = Recorder()
    command = Command((sys.executable, str(CHILD), "0"), environment)

    def spawn() -> EngineProcess:
        return EngineProcess(command, Endpoint(port=free_port()), "fake", log=Path(log))

    supervisor = Supervisor(spawn, seen.changed, RestartPolicy(max_failures=3), sleep=seen.sleep)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(supervisor.run)
        await until(lambda: supervisor.status.state == "failed")
        tasks.cancel_scope.cancel()
    assert len(seen.delays) == 2
    assert (supervisor.status.reason or "").startswith("the engine cannot be started: ")
    assert log not in (supervisor.status.reason or "")


async def test_no_descriptor_left_is_a_failed_start_and_a_missed_look(tmp_path: Path) -> None:
    engine = fake(tmp_path / "log")
    assert not await engine.healthy()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        assert not await engine.healthy()
        with pytest.raises(LaunchError, match="Too many open files"):
            await engine.__aenter__()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_an_engine_that_hangs_is_lost(tmp_path: Path) -> None:
    seen, engines = Recorder(), list[EngineProcess]()

    def spawn() -> EngineProcess:
        engines.append(fake(tmp_path / "log", stop_grace_s=0.2))
        return engines[-1]

    policy = RestartPolicy(health_every_s=0.05, health_timeout_s=1.0, health_failures=2)
    supervisor = Supervisor(spawn, seen.changed, policy, sleep=seen.sleep)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(supervisor.run)
        await until(lambda: supervisor.status.state == "ready")
        (child,) = children(engines[0].pid)
        os.kill(child, signal.SIGSTOP)
        await until(lambda: supervisor.status.state == "restarting")
        reason = supervisor.status.reason
        await until(lambda: supervisor.status.restarts == 1 and len(engines) == 2)
        await until(lambda: supervisor.status.state == "ready")
        tasks.cancel_scope.cancel()
    assert reason == "the engine did not answer /health 2 times in a row"
    assert not alive(child)


@pytest.mark.parametrize(("lasted_s", "end"), [(61.0, "ready"), (59.0, "failed")])
async def test_only_engines_lost_soon_make_a_crash_loop(
    tmp_path: Path, lasted_s: float, end: str
) -> None:
    now, seen, engines = [0.0], Recorder(), list[EngineProcess]()

    def spawn() -> EngineProcess:
        engines.append(fake(tmp_path / "log"))
        return engines[-1]

    policy = RestartPolicy(max_failures=2, stable_s=60.0)
    supervisor = Supervisor(spawn, seen.changed, policy, clock=lambda: now[0], sleep=seen.sleep)

    def settled(losses: int) -> bool:
        state = supervisor.status.state
        return state == "failed" or (state == "ready" and supervisor.status.restarts == losses)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(supervisor.run)
        await until(lambda: settled(0))
        for losses in (1, 2):
            now[0] += lasted_s
            os.killpg(engines[-1].pid, signal.SIGKILL)
            await until(lambda losses=losses: settled(losses))  # type: ignore[misc]
        assert supervisor.status.state == end
        tasks.cancel_scope.cancel()


def test_delays_are_spread_and_bounded() -> None:
    policy = RestartPolicy(first_delay_s=1.0, max_delay_s=8.0)
    rng = random.Random(0)
    delays = {policy.delay_s(50, rng) for _ in range(100)}
    assert len(delays) == 100
    assert all(4.0 <= delay <= 8.0 for delay in delays)

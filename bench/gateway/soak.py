"""`make soak`: a long time of churn, and whether anything of it stays.

    python -m bench.gateway.soak --minutes 20

The gateway before a fake engine that is killed and started again all the while; clients as in
bench.gateway.churn. First a part of it as a warm-up, then a rest and the first look; then the
churn, a rest and the second look. stdout = the table or JSON; stderr = progress. Exit code 5 if
anything grew, or a client saw what none should.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import httpx
import psutil  # type: ignore[import-untyped]

from bench.child import log_folder, ready_child
from bench.engines import free_port
from bench.errors import UnusableError
from bench.gateway.churn import Churn
from bench.gateway.load import Server
from bench.gateway.soaked import Look, Soaked, grown, render
from bench.lag import watched_lag
from neuron.errors import SpecserveError

READY_S = 60.0
REST_S = 30.0
LOOK_S = 0.5
CLIENTS = 24
WARM_UP = 0.2
SEED = 7
MIB = 1 << 20
Say = Callable[[str], None]


async def soak(
    minutes: float, say: Say, *, clients: int = CLIENTS, restart_s: float = 20.0
) -> Soaked:
    """Raises EngineFailedError."""
    with log_folder() as folder:
        engine_port, port = free_port(), free_port()
        engine = FakeEngineThatDies(engine_port, folder, restart_s)
        async with (
            watched_lag(period_s=LOOK_S) as lag,
            engine.kept(),
            _gateway(f"http://127.0.0.1:{engine_port}", port, folder) as pid,
        ):
            gateway = f"http://127.0.0.1:{port}"
            churn = Churn(Server("127.0.0.1", port), random.Random(SEED))
            say(f"warming up for {minutes * WARM_UP:g} min")
            await _churned(churn, minutes * WARM_UP * 60, clients)
            before = await _at_rest(gateway, pid, None)
            say(f"churning for {minutes:g} min; before it: {before}")
            churn.outcomes.clear()
            killed = engine.killed
            await _churned(churn, minutes * 60, clients)
            after = await _at_rest(gateway, pid, before)
    return Soaked(
        minutes, before, after, sum(churn.outcomes.values()), dict(churn.outcomes),
        engine.killed - killed, tuple(churn.wrong), max(by for _, by in (*lag.late, (0, 0))) / 1e9,
    )  # fmt: skip


@dataclass
class FakeEngineThatDies:
    port: int
    folder: Path
    every_s: float
    killed: int = 0

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Running for `every_s`, killed and started again, until the block is left."""
        async with self._running():
            pass
        task = asyncio.create_task(self._die_over_and_over())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _die_over_and_over(self) -> None:
        while True:
            async with self._running() as pid:
                await asyncio.sleep(self.every_s)
                for process in psutil.Process(pid).children(recursive=True):
                    process.kill()
                self.killed += 1

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[int]:
        argv = (sys.executable, "-m", "bench.gateway.fake_engine", "--port", str(self.port))
        url, log = f"http://127.0.0.1:{self.port}/health", self.folder / "engine.log"
        async with ready_child("fake engine", argv, url, log, READY_S) as pid:
            yield pid


@asynccontextmanager
async def _gateway(engine: str, port: int, folder: Path) -> AsyncIterator[int]:
    """The pid of the gateway itself."""
    argv = (
        sys.executable, "-m", "server", "--engine-url", engine, "--port", str(port), "--plain",
        "--max-in-flight", "16", "--write-timeout", "0.5", "--chunk-timeout", "5",
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}/health/live"
    async with ready_child("gateway", argv, url, folder / "gateway.log", READY_S) as keeper:
        (process,) = psutil.Process(keeper).children()
        yield process.pid


async def _churned(churn: Churn, seconds: float, clients: int) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, stop.set)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(clients):
            tasks.create_task(churn.client(stop))


async def _at_rest(gateway: str, pid: int, before: Look | None) -> Look:
    """Once nothing is in flight and idle connections have gone, or after REST_S as it is then."""
    until = time.monotonic() + REST_S
    # Longer than connections to the engine stay open unused.
    await asyncio.sleep(3.0)
    while True:
        look = await _look(gateway, pid)
        done = look.in_flight == 0 and (before is None or not grown(before, look))
        if done or time.monotonic() > until:
            return look
        await asyncio.sleep(LOOK_S)


async def _look(gateway: str, pid: int) -> Look:
    async with httpx.AsyncClient(base_url=gateway, trust_env=False) as http:
        samples = dict(
            line.rsplit(" ", 1)
            for line in (await http.get("/metrics")).text.splitlines()
            if not line.startswith("#")
        )
    process = psutil.Process(pid)
    return Look(
        process.memory_info().rss / MIB,
        process.num_fds(),
        int(float(samples["specserve_event_loop_tasks"])),
        int(float(samples["specserve_requests_in_flight"])),
    )


@click.command(help=__doc__)
@click.option("--minutes", type=click.FloatRange(0.01), default=20.0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def main(minutes: float, as_json: bool) -> None:
    try:
        found = asyncio.run(soak(minutes, lambda text: click.echo(text, err=True)))
        click.echo(json.dumps(asdict(found)) if as_json else render(found), nl=as_json)
        if found.faults:
            raise UnusableError("Not as it should be: " + "; ".join(found.faults[:10]) + ".")
    except SpecserveError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()

"""From one gateway to the next version and back, as a Deployment does it, under traffic.

OLD_CHECKOUT=FOLDER takes the old version from another checkout: `git worktree add FOLDER COMMIT`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

import anyio
import httpx
import pytest

from tests.server.conftest import CHAT, chat
from tests.server.test_command import ROOT, fake_child, says
from tests.server.test_supervision import free_port
from tests.server.waiting import WAIT_S, until_async

pytestmark = pytest.mark.anyio
OLD = Path(os.environ.get("OLD_CHECKOUT", str(ROOT)))
STREAM_S = 3
"""Of each stream that a gateway still has when it must go."""
FORGET_S = 0.5
"""Stands for the 10 s of preStop: balancers forget a pod before it refuses."""
CONFIG = """
drain_timeout = 30.0
total_timeout = 20.0
queue_timeout = {queue_timeout}
[[replicas]]
name = "r0"
pool = "plain"
url = "{engine}"
stack = "cpu"
"""


@dataclass
class Pod:
    process: subprocess.Popen[bytes]
    http: httpx.AsyncClient

    async def ended(self) -> int:
        return await anyio.to_thread.run_sync(lambda: self.process.wait(WAIT_S))


@dataclass
class Service:
    """The ready pods, each in turn."""

    pods: list[Pod] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)

    async def traffic(self) -> None:
        for place in cycle(range(997)):
            pod = self.pods[place % len(self.pods)]
            self.statuses.append((await pod.http.post(CHAT, json=chat())).status_code)
            await anyio.sleep(0.01)


@contextmanager
def process(checkout: Path, config: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    argv = [sys.executable, "-m", "server", "--config", str(config), "--port", str(port)]
    running = subprocess.Popen(argv, cwd=checkout)
    try:
        yield running
    finally:
        running.kill()
        running.wait()


@asynccontextmanager
async def pod(checkout: Path, folder: Path, engine: str, version: int) -> AsyncIterator[Pod]:
    """From when it is ready."""
    config, port = folder / f"gateway-{version}.toml", free_port()
    config.write_text(CONFIG.format(engine=engine, queue_timeout=10.0 + version))
    with process(checkout, config, port) as running:
        url = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=url, timeout=WAIT_S, trust_env=False) as http:
            await until_async(lambda: answers(http))
            yield Pod(running, http)


async def answers(http: httpx.AsyncClient) -> bool:
    try:
        return await says(http, "ready")
    except httpx.TransportError:
        return False


async def test_forth_and_back_loses_no_request_and_no_stream(tmp_path: Path) -> None:
    service = Service()
    with fake_child(free_port()) as engine:
        async with (
            pod(OLD, tmp_path, engine, 1) as old,
            anyio.create_task_group() as background,
        ):
            service.pods.append(old)
            background.start_soon(service.traffic)
            async with pod(ROOT, tmp_path, engine, 2) as new:
                await replace(service, old, new)
                async with pod(OLD, tmp_path, engine, 1) as back:
                    await replace(service, new, back)
                    before = len(service.statuses)
                    await until_async(lambda: more_than(service, before + 20))
                    background.cancel_scope.cancel()
    assert set(service.statuses) == {200}


async def more_than(service: Service, count: int) -> bool:
    return len(service.statuses) > count


async def replace(service: Service, leaving: Pod, coming: Pod) -> None:
    """Surge 1, none unavailable: `coming` is ready before `leaving` goes, with its stream."""
    service.pods.append(coming)
    asked = chat(stream=True, max_tokens=STREAM_S)
    async with leaving.http.stream("POST", CHAT, json=asked) as answer:
        text = answer.aiter_text()
        assert "begun" in await anext(text)
        service.pods.remove(leaving)
        await anyio.sleep(FORGET_S)
        leaving.process.send_signal(signal.SIGTERM)
        await until_async(lambda: says(leaving.http, "draining"))
        assert (await leaving.http.post(CHAT, json=chat())).status_code == 503
        rest = "".join([piece async for piece in text])
    assert rest.endswith("data: [DONE]\n\n")
    assert await leaving.ended() == 0

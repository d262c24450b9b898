"""Faults of the machine the gateway runs on: a full disk, a clock that jumps, a process stopped."""

from __future__ import annotations

import ast
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import anyio
import httpx
import pytest

import server as package
from tests.server.conftest import CHAT, chat
from tests.server.fake_child import COMPLETION
from tests.server.fake_engine import FakeEngine, FakeWire, text_chunk
from tests.server.test_command import ROOT, fake_child, says
from tests.server.test_command import server as served
from tests.server.test_supervision import free_port
from tests.server.waiting import WAIT_S, until, until_async

WALL_CLOCKS = {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "datetime.today"}


@contextmanager
def on_a_full_disk(engine: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    with Path("/dev/full").open("wb") as full:
        process = subprocess.Popen(
            [sys.executable, "-m", "server", "--port", str(port), "--engine-url", engine],
            cwd=ROOT,
            stderr=full,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.anyio
async def test_a_full_disk_under_the_log_stops_nothing() -> None:
    url = f"http://127.0.0.1:{(port := free_port())}"
    with fake_child(free_port()) as engine, on_a_full_disk(engine, port) as process:
        async with httpx.AsyncClient(base_url=url, timeout=WAIT_S, trust_env=False) as http:

            async def is_ready() -> bool:
                with suppress(httpx.ConnectError):
                    return await says(http, "ready")
                return False

            await until_async(is_ready)
            assert (await http.post(CHAT, json=chat())).status_code == 200
        process.send_signal(signal.SIGTERM)
        await until(lambda: process.poll() is not None)
        assert process.returncode == 0


def test_nothing_is_timed_by_a_clock_that_can_jump() -> None:
    found = [
        f"{path.name}:{node.lineno}"
        for path in sorted(Path(package.__path__[0]).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in WALL_CLOCKS
    ]
    assert found == []


@pytest.mark.anyio
async def test_a_gateway_that_was_stopped_reads_before_it_gives_up(engine: FakeEngine) -> None:
    """As after the pause of a virtual machine: every timer is due, and every chunk is there."""
    resumed = anyio.Event()

    async def script(wire: FakeWire) -> None:
        if not wire.json.get("stream"):
            await wire.respond(200, COMPLETION)
            return
        await wire.begin()
        await wire.event(text_chunk("begun"))
        await resumed.wait()
        await wire.event(text_chunk("", finish="stop"))
        await wire.done()

    engine.script = script
    with served("--engine-url", engine.url, "--chunk-timeout", "0.5", "--plain") as gateway:
        async with httpx.AsyncClient(base_url=gateway.url, timeout=WAIT_S, trust_env=False) as http:
            await until_async(lambda: says(http, "ready"))
            async with http.stream("POST", CHAT, json=chat(stream=True)) as answer:
                pieces = answer.aiter_text()
                assert "begun" in await anext(pieces)
                gateway.process.send_signal(signal.SIGSTOP)
                # Sent while it is stopped, taken only after its timer was due.
                resumed.set()
                await anyio.sleep(1.0)
                gateway.process.send_signal(signal.SIGCONT)
                rest = "".join([piece async for piece in pieces])
    assert rest.endswith("data: [DONE]\n\n")

"""More connections than there may be, and the descriptors for those that may."""

from __future__ import annotations

import resource
import subprocess
import sys
from contextlib import AsyncExitStack

import anyio
import httpx
import pytest
from anyio.abc import SocketStream

from server.protocol import MAX_LINGERING
from tests.server.conftest import Running, running
from tests.server.fake_engine import FakeEngine
from tests.server.test_command import ROOT, fake_child, server
from tests.server.test_supervision import free_port
from tests.server.test_timeouts_and_leaving import rest_of
from tests.server.waiting import WAIT_S, until

pytestmark = pytest.mark.anyio
URL = "http://127.0.0.1:9"
GET = b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n"


async def connect(gateway: Running) -> SocketStream:
    return await anyio.connect_tcp("127.0.0.1", int(gateway.url.rsplit(":", 1)[1]))


async def test_a_connection_too_many_is_told_so_and_the_others_are_served(
    engine: FakeEngine,
) -> None:
    async with running(engine.url, max_connections=2) as gateway, AsyncExitStack() as opened:
        known = gateway.listener.server_state.connections
        first, second = [await opened.enter_async_context(await connect(gateway)) for _ in "ab"]
        await until(lambda: len(known) == 2)
        with anyio.fail_after(WAIT_S):
            async with await connect(gateway) as third:
                refusal = await rest_of(third)
            head, _, body = refusal.decode().partition("\r\n\r\n")
            assert head.startswith("HTTP/1.1 503 Service Unavailable")
            assert "retry-after: 1" in head.lower()
            assert '"code": "too_many_connections"' in body
            await second.send(GET)
            assert (await second.receive()).startswith(b"HTTP/1.1 200 ")
            await first.aclose()
            await until(lambda: len(known) == 1)
            async with await connect(gateway) as fourth:
                await fourth.send(GET)
                assert (await fourth.receive()).startswith(b"HTTP/1.1 200 ")
        name = 'specserve_rejections_total{code="too_many_connections"'
        assert await gateway.metric(name) == 1


async def test_who_stays_after_the_refusal_is_closed_and_a_flood_gets_no_words(
    engine: FakeEngine,
) -> None:
    async with running(engine.url, max_connections=1) as gateway, AsyncExitStack() as opened:
        known = gateway.listener.server_state.connections
        many = 3 * MAX_LINGERING
        clients = [
            await opened.enter_async_context(await connect(gateway)) for _ in range(1 + many)
        ]
        answers = []
        with anyio.fail_after(WAIT_S):
            for client in clients[1:]:
                try:
                    answers.append(await rest_of(client))
                except anyio.BrokenResourceError:
                    answers.append(b"")
        told = sum(answer.startswith(b"HTTP/1.1 503 ") for answer in answers)
        assert 1 <= told <= many - MAX_LINGERING
        assert answers.count(b"") == many - told
        # The clients hold their ends open all the time.
        await until(lambda: len(known) == 1)


def test_the_soft_limit_on_open_files_is_raised_as_far_as_needed() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
    try:
        with (
            fake_child(free_port()) as engine,
            server("--engine-url", engine, "--max-connections", "300") as served,
        ):
            now = resource.prlimit(served.process.pid, resource.RLIMIT_NOFILE)
            assert httpx.get(f"{served.url}/health/live").status_code == 200
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert now == (300 + 64 + 256, hard)


def test_more_connections_than_files_is_refused_at_the_start() -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", f"ulimit -n 500 && exec {sys.executable} -m server --engine-url {URL}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == (
        "Error: --max-connections 2048 and --max-in-flight 64 need 2368 open files, but this "
        "process may have 500: lower them, or raise the limit (ulimit -Hn, LimitNOFILE=).\n"
    )

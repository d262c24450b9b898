"""Two gateways before three engines, all of them processes: any one engine may be killed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import httpx
import pytest

from tests.server.conftest import CHAT, chat
from tests.server.test_command import server
from tests.server.test_supervision import CHILD, free_port
from tests.server.waiting import WAIT_S, until_async

pytestmark = pytest.mark.anyio
REQUESTS = 24


@dataclass
class FakeProcess:
    """One fake engine that holds every chat until it is told to answer."""

    process: subprocess.Popen[bytes]
    url: str

    async def waiting(self) -> int:
        async with httpx.AsyncClient(trust_env=False, timeout=WAIT_S) as http:
            count: int = (await http.get(f"{self.url}/waiting")).json()["waiting"]
            return count

    async def release(self) -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=WAIT_S) as http:
            await http.post(f"{self.url}/release", json={})


@contextmanager
def fake_engine_process(mode: str = "hold") -> Iterator[FakeProcess]:
    port = free_port()
    process = subprocess.Popen([sys.executable, str(CHILD), str(port), mode])
    try:
        yield FakeProcess(process, f"http://127.0.0.1:{port}")
    finally:
        process.kill()
        process.wait()


@contextmanager
def three_engines(mode: str = "hold") -> Iterator[list[FakeProcess]]:
    with ExitStack() as stack:
        yield [stack.enter_context(fake_engine_process(mode)) for _ in range(3)]


@asynccontextmanager
async def two_gateways(file: Path) -> AsyncIterator[list[httpx.AsyncClient]]:
    with server("--config", str(file)) as one, server("--config", str(file)) as other:
        async with (
            httpx.AsyncClient(base_url=one.url, timeout=WAIT_S, trust_env=False) as first,
            httpx.AsyncClient(base_url=other.url, timeout=WAIT_S, trust_env=False) as second,
        ):
            yield [first, second]


def listed(engines: list[FakeProcess]) -> str:
    pools = ("speculative", "plain", "plain")
    return "".join(
        f'[[replicas]]\nname = "r{place}"\npool = "{pool}"\nurl = "{engine.url}"\nstack = "cpu"\n'
        for place, (engine, pool) in enumerate(zip(engines, pools, strict=True))
    )


async def all_ready(http: httpx.AsyncClient) -> bool:
    pools = (await http.get("/health/ready")).json()["pools"]
    return [pools[pool]["ready"] for pool in ("speculative", "plain")] == [1, 2]


@pytest.mark.parametrize("victim", [0, 1], ids=["alone in its pool", "one of two"])
async def test_no_request_is_lost_that_had_not_begun(tmp_path: Path, victim: int) -> None:
    answers: list[httpx.Response] = []

    async def ask(http: httpx.AsyncClient, place: int) -> None:
        mode = "auto" if victim == 0 else ("auto", "off")[place % 2]
        body = chat(
            messages=[{"role": "user", "content": str(place)}],
            stream=place % 3 == 0,
            speculation=mode,
        )
        answers.append(await http.post(CHAT, json=body))

    file = tmp_path / "g.toml"
    with three_engines() as engines:
        file.write_text(listed(engines))
        async with two_gateways(file) as gateways, anyio.create_task_group() as tasks:
            for http in gateways:
                await until_async(lambda http=http: all_ready(http))  # type: ignore[misc]
            for place in range(REQUESTS):
                tasks.start_soon(ask, gateways[place % 2], place)

            async def all_wait() -> bool:
                return sum([await one.waiting() for one in engines]) == REQUESTS

            await until_async(all_wait)
            assert await engines[victim].waiting() > 0
            engines[victim].process.kill()
            for place, engine in enumerate(engines):
                if place != victim:
                    await engine.release()
    assert [answer.status_code for answer in answers] == [200] * REQUESTS
    assert all(answer.headers["x-specserve-replica"] != f"r{victim}" for answer in answers)
    streams = [answer for answer in answers if "event-stream" in answer.headers["content-type"]]
    assert len(streams) == REQUESTS // 3
    assert all(answer.text.endswith("data: [DONE]\n\n") for answer in streams)

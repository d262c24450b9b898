"""One line of JSON for each request, which costs no request anything."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import pytest

from server.observed import Observers
from server.record import Record
from server.request_log import JsonLog, line_of
from tests.server.conftest import CHAT, Running, chat, running
from tests.server.fake_engine import FakeEngine, FakeWire
from tests.server.waiting import until

SECRET = "my prompt is a secret"
PROMPT = {"messages": [{"role": "user", "content": SECRET}]}


class Drops:
    count = 0

    def __call__(self) -> None:
        self.count += 1


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "requests.jsonl"


@pytest.fixture
async def logged(engine: FakeEngine, path: Path) -> AsyncIterator[Running]:
    log = JsonLog(path, Drops())
    async with running(engine.url, observers=Observers(log)) as served:
        yield served
    log.close()


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def lines(path: Path, count: int) -> list[dict[str, Any]]:
    await until(lambda: path.read_bytes().count(b"\n") >= count)
    return read(path)


@pytest.mark.anyio
async def test_a_stream(logged: Running, path: Path) -> None:
    headers = {"x-request-id": "me-1", "authorization": "Bearer hidden"}
    await logged.http.post(CHAT + "?q=hidden", json=chat(stream=True, **PROMPT), headers=headers)
    (line,) = await lines(path, 1)
    assert line.pop("time")
    times = [line.pop(name) for name in ("queue_s", "ttft_s", "total_s")]
    assert times == sorted(times)
    assert line == {
        "request_id": "me-1",
        "method": "POST",
        "path": CHAT,
        "status": 200,
        "code": "ok",
        "model": "fake",
        "stream": True,
        "pool": "speculative",
        "replica": "engine",
        "attempts": 1,
        "prompt_tokens": 7,
        "completion_tokens": 9,
        "drafted_tokens": 10,
        "accepted_tokens": 6,
    }


@pytest.mark.anyio
async def test_every_outcome_has_its_line(logged: Running, path: Path, engine: FakeEngine) -> None:
    async def dying(wire: FakeWire) -> None:
        wire.reset()

    await logged.http.post(CHAT, json=chat(**PROMPT))
    await logged.http.post(CHAT, json=chat(temprature=1, **PROMPT))
    await logged.http.get("/v1/nothing")
    await logged.http.get("/v1/models/other")
    await logged.http.get("/health/ready")
    engine.script = dying
    await logged.http.post(CHAT, json=chat(**PROMPT))
    found = await lines(path, 5)
    assert [(line["status"], line.get("code")) for line in found] == [
        (200, "ok"),
        (400, "unknown_parameter"),
        (404, "unknown_url"),
        (404, "model_not_found"),
        (503, "engine_lost"),
    ]
    assert SECRET not in json.dumps(read(path))


@pytest.mark.anyio
async def test_a_client_that_left(logged: Running, path: Path, engine: FakeEngine) -> None:
    async def script(wire: FakeWire) -> None:
        await wire.gone.wait()

    engine.script = script
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: logged.http.post(CHAT, json=chat()))
        await engine.next_wire()
        tasks.cancel_scope.cancel()
    (line,) = await lines(path, 1)
    assert line["code"] == "client_gone"
    assert "status" not in line


@pytest.mark.anyio
async def test_prompts_only_when_asked(engine: FakeEngine, path: Path) -> None:
    log = JsonLog(path, Drops())
    async with running(engine.url, observers=Observers(log, log_prompts=True)) as served:
        await served.http.post(CHAT, json=chat(**PROMPT))
        (line,) = await lines(path, 1)
    log.close()
    assert json.loads(line["prompt"]) == PROMPT["messages"]


@pytest.mark.anyio
async def test_a_full_disk_costs_lines_and_no_request(engine: FakeEngine) -> None:
    drops = Drops()
    log = JsonLog(Path("/dev/full"), drops)
    async with running(engine.url, observers=Observers(log)) as served:
        for _ in range(3):
            assert (await served.http.post(CHAT, json=chat())).status_code == 200
        await until(lambda: drops.count == 3)
    log.close()


def record(path: str = CHAT) -> Record:
    return Record("r", "POST", path, lambda: 0.0, 0.0)


def test_a_disk_that_hangs_costs_lines_and_no_request(tmp_path: Path) -> None:
    drops, pipe = Drops(), tmp_path / "pipe"
    os.mkfifo(pipe)
    # Open at its other end, and never read.
    other_end = os.open(pipe, os.O_RDWR)
    log = JsonLog(pipe, drops, max_waiting=3, close_s=0.05)
    for _ in range(2_000):
        log.write(record("/" + "x" * 200))
    assert drops.count > 0
    log.close()
    os.close(other_end)


def test_a_file_has_a_bound(path: Path) -> None:
    log = JsonLog(path, Drops(), max_file_bytes=1000)
    for _ in range(100):
        log.write(record())
    log.close()
    kept = [path, path.with_name(path.name + ".1")]
    assert sorted(path.parent.iterdir()) == sorted(kept)
    assert all(one.stat().st_size < 2000 for one in kept)


def test_a_line_has_a_bound_and_is_one_line() -> None:
    long = record("/" + "a\n" * 10_000)
    long.prompt = "b\n" * 100_000
    line = line_of(long, datetime.now(UTC))
    assert line.count(b"\n") == 1
    assert len(line) < 50_000

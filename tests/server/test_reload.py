"""SIGHUP on the command `server`: all of a new file, or all of the old one."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from server.keys import hash_of, new_token
from tests.server.conftest import CHAT, chat
from tests.server.fake_engine import FakeEngine, FakeWire, fake_engine, text_chunk
from tests.server.test_command import (
    Served,
    answer_500,
    answer_checked,
    exit_code,
    next_line,
    server,
)
from tests.server.waiting import WAIT_S, until, until_async

pytestmark = pytest.mark.anyio


def listed(*engines: tuple[str, FakeEngine]) -> str:
    return "".join(
        f'[[replicas]]\nname = "{name}"\npool = "plain"\nurl = "{engine.url}"\nstack = "cpu"\n'
        for name, engine in engines
    )


async def told(served: Served, says: str) -> list[str]:
    """The lines up to the one that has this."""
    lines: list[str] = []
    while not any(says in line for line in lines):
        lines.append(await next_line(served.process))
        assert lines[-1], f"the gateway ended before it said {says!r}: {lines}"
    return lines


@asynccontextmanager
async def engines(*names: str) -> AsyncIterator[list[FakeEngine]]:
    async with fake_engine(answer_checked) as a, fake_engine(answer_checked) as b:
        yield [a, b][: len(names)]


async def metric(http: httpx.AsyncClient, line: str) -> float:
    for sample in (await http.get("/metrics")).text.splitlines():
        if sample.startswith(line):
            return float(sample.rsplit(" ", 1)[1])
    return 0.0


async def only(http: httpx.AsyncClient, name: str) -> bool:
    pools = (await http.get("/health/ready")).json()["pools"]
    return set(pools["plain"]["replicas"]) == {name}


@asynccontextmanager
async def serving(file: Path) -> AsyncIterator[tuple[Served, httpx.AsyncClient]]:
    with server("--config", str(file)) as running:
        async with httpx.AsyncClient(base_url=running.url, timeout=WAIT_S, trust_env=False) as http:
            yield running, http
            running.process.send_signal(signal.SIGTERM)
            assert await exit_code(running.process) == 0


async def holds(wire: FakeWire) -> None:
    """A stream that begins, and ends when the test says so."""
    await wire.begin()
    await wire.event(text_chunk("begun"))
    await wire.gone.wait()


async def test_replicas_come_checked_and_go_drained(tmp_path: Path) -> None:
    file = tmp_path / "g.toml"
    async with engines("a", "b") as (a, b):
        file.write_text(listed(("a", a)))
        async with serving(file) as (running, http):
            await told(running, "a: ready")
            a.script = holds
            async with http.stream("POST", CHAT, json=chat(stream=True)) as answer:
                text = answer.aiter_text()
                assert "begun" in await anext(text)
                stream = a.wires[-1]
                assert answer.headers["x-specserve-replica"] == "a"

                b.script = answer_500  # Its start-up check fails.
                file.write_text("max_in_flight = 2\n" + listed(("b", b)))
                running.process.send_signal(signal.SIGHUP)
                await told(running, "config: applied, 1 replicas come and 1 go")
                await told(running, "b: starting")
                a.script = answer_checked
                still = await http.post(CHAT, json=chat())
                assert still.headers["x-specserve-replica"] == "a"

                b.script = answer_checked
                await told(running, "b: ready")
                now = await http.post(CHAT, json=chat())
                assert now.headers["x-specserve-replica"] == "b"
                # Its request still runs, and ends when its client wishes.
                assert not stream.gone.is_set()
            await told(running, "a: stopped")
            await until_async(lambda: only(http, "b"))
            assert await metric(http, 'specserve_config_reloads_total{outcome="applied"}') == 1
            assert await metric(http, 'specserve_engine_state{replica="b",state="ready"}') == 1
            assert (
                'replica_requests_running{pool="plain",replica="a"}'
                not in (await http.get("/metrics")).text
            )


async def test_a_bad_file_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "g.toml"
    async with engines("a") as (a,):
        good = listed(("a", a))
        file.write_text(good)
        async with serving(file) as (running, http):
            await told(running, "a: ready")
            for bad, says in (
                ("prot = 1\n" + good, "Unknown key 'prot'"),
                ("[broken\n", "not valid TOML"),
                ("host = '127.0.0.2'\n" + good, "'host' cannot change"),
                (
                    "max_in_flight = 1\n"
                    + good.replace('"cpu"', '"legacy"').replace('"plain"', '"speculative"')
                    + listed(("a", a)),
                    "two replicas are named",
                ),
            ):
                file.write_text(bad)
                running.process.send_signal(signal.SIGHUP)
                lines = await told(running, "config: refused, the old one stays: ")
                assert says in lines[-1]
                assert (await http.post(CHAT, json=chat())).status_code == 200
            assert await metric(http, 'specserve_config_reloads_total{outcome="refused"}') == 4
            file.unlink()
            running.process.send_signal(signal.SIGHUP)
            assert "there is no file" in (await told(running, "config: refused"))[-1]


async def greedy_only(wire: FakeWire) -> None:
    """As AWS's engine: its logits stay on the device."""
    if wire.json.get("logprobs") or wire.json.get("temperature"):
        await wire.respond(400, {"error": {"message": "no logits"}})
        return
    choice = {"index": 0, "text": "x", "finish_reason": "length"}
    await wire.respond(200, {"choices": [choice], "usage": {"completion_tokens": 16}})


async def test_an_engine_is_checked_by_what_it_can(tmp_path: Path) -> None:
    file = tmp_path / "g.toml"
    async with fake_engine(greedy_only) as greedy:
        aws = listed(("aws", greedy)).replace('"cpu"', '"nxdi"\nplugin = "vllm-neuron"')
        file.write_text(aws)
        async with serving(file) as (running, http):
            await told(running, "aws: ready")
            answer = await http.post(CHAT, json=chat(temperature=0.5))
            assert answer.json()["error"]["param"] == "temperature"
            assert (await http.post(CHAT, json=chat(temperature=0))).status_code == 200


async def test_limits_hold_from_the_next_request_and_replicas_stay(tmp_path: Path) -> None:
    file = tmp_path / "g.toml"
    async with engines("a") as (a,):
        file.write_text(listed(("a", a)))
        async with serving(file) as (running, http):
            await told(running, "a: ready")
            checks = len(a.wires)
            assert (await http.post(CHAT, json=chat(user="x" * 200))).status_code == 200
            file.write_text("max_body_bytes = 100\n" + listed(("a", a)))
            running.process.send_signal(signal.SIGHUP)
            await told(running, "config: applied, 0 replicas come and 0 go")
            answer = await http.post(CHAT, json=chat(user="x" * 200))
            assert answer.json()["error"]["code"] == "request_too_large"
            # The engine was not checked anew.
            assert len(a.wires) == checks + 1


async def test_without_a_file_sighup_ends_the_process_as_any_other() -> None:
    # As from a terminal; a process under nohup would stay deaf to it.
    ours = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        async with engines("a") as (a,):
            with server("--engine-url", a.url) as running:
                running.process.send_signal(signal.SIGHUP)
                await until(lambda: running.process.poll() == -signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, ours)


async def test_keys_are_read_again_without_a_config_file(tmp_path: Path) -> None:
    tokens = [new_token(), new_token()]
    file = tmp_path / "keys.toml"

    def holds_only(token: str) -> None:
        file.write_text(f'[[keys]]\nname = "a"\nhash = "{hash_of(token)}"\n')

    async def status(http: httpx.AsyncClient, token: str) -> int:
        headers = {"authorization": f"Bearer {token}"}
        return (await http.post(CHAT, json=chat(), headers=headers)).status_code

    async with engines("a") as (a,):
        holds_only(tokens[0])
        with server("--engine-url", a.url, "--keys-file", str(file)) as running:
            await told(running, "engine: ready")
            async with httpx.AsyncClient(
                base_url=running.url, timeout=WAIT_S, trust_env=False
            ) as http:
                assert [await status(http, token) for token in tokens] == [200, 401]
                holds_only(tokens[1])
                running.process.send_signal(signal.SIGHUP)
                await told(running, "config: applied")
                assert [await status(http, token) for token in tokens] == [401, 200]
                file.write_text("[[keys]]\n")
                running.process.send_signal(signal.SIGHUP)
                await told(running, "config: refused")
                assert [await status(http, token) for token in tokens] == [401, 200]

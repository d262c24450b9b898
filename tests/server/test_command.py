"""The command `server` as a process: options, drain, exit codes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import pytest
from click.testing import CliRunner

from server.cli import main
from server.settings import SettingsError, load_settings
from tests.server.conftest import CHAT, chat
from tests.server.test_supervision import CHILD, free_port
from tests.server.waiting import WAIT_S, until, until_async

ROOT = CHILD.parents[2]


@dataclass
class Served:
    process: subprocess.Popen[str]
    url: str


@contextmanager
def fake_child(port: int) -> Iterator[str]:
    process = subprocess.Popen([sys.executable, str(CHILD), str(port)])
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@contextmanager
def server(*options: str) -> Iterator[Served]:
    process = subprocess.Popen(
        [sys.executable, "-m", "server", "--port", "0", *options],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        lines = iter(process.stderr.readline, "")
        url = next(line for line in lines if "listening on" in line).split()[-1]
        yield Served(process, url)
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


@pytest.fixture
async def served(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Served, httpx.AsyncClient]]:
    with (
        fake_child(free_port()) as engine,
        server("--engine-url", engine, *request.param) as running,
    ):
        async with httpx.AsyncClient(base_url=running.url, timeout=WAIT_S, trust_env=False) as http:
            await until_async(lambda: says(http, "ready"))
            yield running, http


def drain(seconds: float) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "served", [("--drain-timeout", str(seconds))], indirect=True, ids=[str(seconds)]
    )


async def says(http: httpx.AsyncClient, word: str) -> bool:
    return bool((await http.get("/health/ready")).json()["status"] == word)


async def exit_code(process: subprocess.Popen[str]) -> int:
    await until(lambda: process.poll() is not None)
    assert process.returncode is not None
    return process.returncode


@pytest.mark.anyio
@drain(30)
async def test_sigterm_lets_a_stream_finish_and_refuses_new_work(
    served: tuple[Served, httpx.AsyncClient],
) -> None:
    running, http = served
    async with http.stream("POST", CHAT, json=chat(stream=True, max_tokens=2)) as answer:
        text = answer.aiter_text()
        assert "begun" in await anext(text)
        running.process.send_signal(signal.SIGTERM)
        await until_async(lambda: says(http, "draining"))
        refused = await http.post(CHAT, json=chat())
        assert refused.status_code == 503
        assert refused.headers["retry-after"]
        rest = "".join([piece async for piece in text])
    assert rest.endswith("data: [DONE]\n\n")
    assert await exit_code(running.process) == 0


@pytest.mark.anyio
@drain(0.2)
async def test_what_outlasts_the_drain_ends_with_an_error_event(
    served: tuple[Served, httpx.AsyncClient],
) -> None:
    running, http = served
    async with http.stream("POST", CHAT, json=chat(stream=True, max_tokens=300)) as answer:
        text = answer.aiter_text()
        assert "begun" in await anext(text)
        running.process.send_signal(signal.SIGTERM)
        rest = "".join([piece async for piece in text])
    assert json.loads(rest.strip().removeprefix("data: "))["error"]["code"] == "shutting_down"
    assert await exit_code(running.process) == 0


@pytest.mark.anyio
@drain(600)
async def test_a_second_signal_does_not_wait(served: tuple[Served, httpx.AsyncClient]) -> None:
    running, http = served
    async with http.stream("POST", CHAT, json=chat(stream=True, max_tokens=300)) as answer:
        text = answer.aiter_text()
        assert "begun" in await anext(text)
        running.process.send_signal(signal.SIGTERM)
        await until_async(lambda: says(http, "draining"))
        running.process.send_signal(signal.SIGINT)
        rest = "".join([piece async for piece in text])
    assert "shutting_down" in rest
    assert await exit_code(running.process) == 1


@pytest.mark.anyio
async def test_an_engine_that_is_not_there_is_red_until_it_comes() -> None:
    port = free_port()
    with server("--engine-url", f"http://127.0.0.1:{port}") as running:
        async with httpx.AsyncClient(base_url=running.url, timeout=WAIT_S, trust_env=False) as http:
            assert (await http.get("/health/ready")).status_code == 503
            assert (await http.get("/health/live")).status_code == 200
            answer = await http.post(CHAT, json=chat())
            assert answer.json()["error"]["code"] == "engine_starting"
            with fake_child(port):
                await until_async(lambda: says(http, "ready"))
        running.process.send_signal(signal.SIGTERM)
        assert await exit_code(running.process) == 0


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--port", "99999"], 2, "--port (SPECSERVE_PORT)"),
        (["--max-in-flight", "0"], 2, "--max-in-flight"),
        (["--total-timeout", "inf"], 2, "--total-timeout"),
        (["--pair", "nothing"], 2, "nothing"),
        (["--engine-url", "not a url"], 2, "--engine-url"),
        (["--engine-url", "http://x", "--draft", "y"], 2, "leave out"),
        (["--host", "256.0.0.1"], 1, "Cannot listen"),
        (["--unknown"], 2, "--unknown"),
    ],
)
def test_bad_options_are_one_sentence(arguments: list[str], code: int, says: str) -> None:
    result = CliRunner().invoke(main, ["--port", "0", *arguments])
    assert result.exit_code == code
    assert says in result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""


def test_a_taken_port_is_known_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = CliRunner().invoke(main, ["--port", str(taken.getsockname()[1])])
    assert result.exit_code == 1
    assert "choose another --port" in result.stderr


def test_options_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPECSERVE_PORT", "9000")
    assert load_settings({}, os.environ).port == 9000
    assert load_settings({"port": "9001"}, os.environ).port == 9001


def test_an_unknown_variable_is_refused_with_a_near_match() -> None:
    with pytest.raises(SettingsError, match=r"SPECSERVE_PROT; did you mean SPECSERVE_PORT\?"):
        load_settings({}, {"SPECSERVE_PROT": "1"})


def test_python_m_server_help() -> None:
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    assert "Exit codes" in result.stdout

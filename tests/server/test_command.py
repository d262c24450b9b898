"""The command `server` as a process: options, drain, exit codes."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import httpx
import pytest
from click.testing import CliRunner

from server.cli import main
from server.listener import bind, url_of
from server.settings import SettingsError, load_settings
from tests.server.conftest import CHAT, chat
from tests.server.fake_child import COMPLETION
from tests.server.fake_engine import MODELS, FakeEngine, FakeWire
from tests.server.test_supervision import CHILD, free_port
from tests.server.test_timeouts_and_leaving import begun, floods
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
        told = []
        for line in iter(process.stderr.readline, ""):
            told.append(line)
            if "listening on" in line:
                break
        else:
            pytest.fail("the gateway does not listen:\n" + "".join(told))
        yield Served(process, told[-1].split()[-1])
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
@pytest.mark.parametrize(
    "served", [("--drain-timeout", "30", "--max-in-flight", "1")], indirect=True, ids=["one place"]
)
async def test_what_waits_is_refused_while_what_runs_finishes(
    served: tuple[Served, httpx.AsyncClient],
) -> None:
    running, http = served
    refused: list[httpx.Response] = []

    async def ask() -> None:
        refused.append(await http.post(CHAT, json=chat()))

    async def waits() -> bool:
        return 'requests_queued{priority="normal"} 1.0' in (await http.get("/metrics")).text

    async with (
        http.stream("POST", CHAT, json=chat(stream=True, max_tokens=3)) as answer,
        anyio.create_task_group() as tasks,
    ):
        text = answer.aiter_text()
        assert "begun" in await anext(text)
        tasks.start_soon(ask)
        await until_async(waits)
        running.process.send_signal(signal.SIGTERM)
        await until(lambda: len(refused) == 1)
        assert refused[0].status_code == 503
        assert refused[0].json()["error"]["code"] == "shutting_down"
        rest = "".join([piece async for piece in text])
    assert rest.endswith("data: [DONE]\n\n")
    assert await exit_code(running.process) == 0


@pytest.mark.anyio
async def test_the_port_closes_before_the_engine_is_ended(engine: FakeEngine) -> None:
    engine.script = answer_checked
    with server("--engine-url", engine.url) as running:
        while await next_line(running.process) != "engine: ready\n":
            pass
        running.process.send_signal(signal.SIGTERM)
        while await next_line(running.process) != "engine: stopped\n":
            pass
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", int(running.url.rsplit(":", 1)[1])))
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
async def test_a_client_that_takes_nothing_does_not_hold_up_the_end(engine: FakeEngine) -> None:
    engine.script = answer_checked
    quiet = ("--request-log", "off")
    with server("--engine-url", engine.url, "--drain-timeout", "0.2", *quiet) as running:
        while await next_line(running.process) != "engine: ready\n":
            pass
        engine.script = floods
        async with await begun(running.url, stream=True):
            await until(lambda: engine.wires[-1].json.get("stream") is True)
            running.process.send_signal(signal.SIGTERM)
            assert await exit_code(running.process) == 0
        assert running.process.stderr is not None
        assert running.process.stderr.read().splitlines() == [
            "SIGTERM: draining for up to 0.2 s",
            "engine: stopped",
        ]


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


@pytest.mark.anyio
async def test_metrics_have_a_port_of_their_own_and_keys_come_from_a_file(
    engine: FakeEngine, tmp_path: Path
) -> None:
    file = tmp_path / "keys.toml"
    made = CliRunner().invoke(main, ["keys", "new", "--name", "a"])
    file.write_text(made.stdout)
    headers = {"authorization": f"Bearer {made.stderr.splitlines()[-1]}"}
    engine.script = answer_checked
    options = ("--keys-file", str(file), "--host", "0.0.0.0", "--metrics-port", "0")  # noqa: S104
    with server("--engine-url", engine.url, *options) as running:
        told = await next_line(running.process)
        assert told.startswith("metrics on http://127.0.0.1:")
        url = running.url.replace("0.0.0.0", "127.0.0.1")  # noqa: S104
        async with httpx.AsyncClient(base_url=url, timeout=WAIT_S, trust_env=False) as http:
            assert (await http.get("/v1/models")).status_code == 401
            assert (await http.get("/metrics", headers=headers)).status_code == 403
            await until_async(lambda: says(http, "ready"))
            assert (await http.get("/v1/models", headers=headers)).status_code == 200
            alone = told.split()[-1]
            assert "specserve_rejections_total" in (await http.get(alone + "/metrics")).text
            assert (await http.get(alone + "/v1/models", headers=headers)).status_code == 404
        running.process.send_signal(signal.SIGTERM)
        assert await exit_code(running.process) == 0


async def next_line(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    with anyio.fail_after(WAIT_S):
        return await anyio.to_thread.run_sync(process.stderr.readline, abandon_on_cancel=True)


@pytest.mark.anyio
async def test_why_a_remote_engine_is_not_ready_is_said_once_for_each_cause(
    engine: FakeEngine,
) -> None:
    engine.models = None
    engine.script = answer_500
    with server("--engine-url", engine.url + "/v1") as running:
        assert await next_line(running.process) == (
            "engine: /v1/models was not answered with a list of models\n"
        )
        assert await next_line(running.process) == "engine: starting\n"
        engine.models = MODELS
        assert "start-up request with HTTP 500: " in await next_line(running.process)
        async with httpx.AsyncClient(base_url=running.url, timeout=WAIT_S, trust_env=False) as http:
            pools = (await http.get("/health/ready")).json()["pools"]
            reason = pools["speculative"]["replicas"]["engine"]["reason"]
            assert reason == "the engine failed its start-up check"
            engine.script = answer_checked
            assert await next_line(running.process) == "engine: ready\n"
            assert await says(http, "ready")
    assert {wire.path for wire in engine.wires} == {"/v1/completions"}


async def answer_500(wire: FakeWire) -> None:
    await wire.respond(500, {"error": {"message": "/root/secret"}})


async def answer_checked(wire: FakeWire) -> None:
    await wire.respond(200, COMPLETION)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--port", "99999"], 2, "--port (SPECSERVE_PORT)"),
        (["--max-in-flight", "0"], 2, "--max-in-flight"),
        (["--total-timeout", "inf"], 2, "--total-timeout"),
        (["--pair", "nothing"], 2, "nothing"),
        (["--engine-url", "not a url"], 2, "--engine-url"),
        (["--engine-url", "http://x", "--draft", "y"], 2, "leave out"),
        (["--host", "256.0.0.1", "--allow-anonymous"], 1, "Cannot listen"),
        (["--host", "0.0.0.0"], 2, "--allow-anonymous"),  # noqa: S104 - it is refused
        (["--host", "example.org"], 2, "there are no keys"),
        (["--metrics-host", "256.0.0.1", "--metrics-port", "0"], 1, "--metrics-port"),
        (["--keys-file", "/nowhere/keys.toml"], 2, "/nowhere/keys.toml cannot be read"),
        (["--keys-file", "x", "--keys", "y"], 2, "one of --keys-file"),
        (["--keys", "[[keys]]", "--allow-anonymous"], 2, "leave it or them out"),
        (["--keys", "x ="], 2, "SPECSERVE_KEYS is no valid TOML"),
        (["--quota-store", "mysql://x"], 2, "--quota-store"),
        (["nonsense"], 2, "No such command"),
        (["--unknown"], 2, "--unknown"),
    ],
)
def test_bad_options_are_one_sentence(arguments: list[str], code: int, says: str) -> None:
    result = CliRunner().invoke(main, ["--port", "0", *arguments])
    assert result.exit_code == code
    assert says in result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""


@contextmanager
def taken_port() -> Iterator[str]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield str(taken.getsockname()[1])


def test_a_taken_port_is_known_at_once() -> None:
    with taken_port() as port:
        result = CliRunner().invoke(main, ["--port", port])
    assert result.exit_code == 1
    assert "choose another --port" in result.stderr


def test_a_log_folder_that_cannot_be_is_known_before_the_port() -> None:
    with taken_port() as port:
        result = CliRunner().invoke(main, ["--port", port, "--log-dir", "/proc/nope"])
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: --log-dir (SPECSERVE_LOG_DIR): ")
    assert len(result.stderr.splitlines()) == 1


def test_options_come_from_the_environment_that_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPECSERVE_PORT", "8999")
    environ = {"SPECSERVE_PORT": "9000", "SPECSERVE_PLAIN": "true", "PORT": "1"}
    assert load_settings({}, environ).port == 9000
    assert load_settings({}, environ).plain
    assert load_settings({"port": "9001"}, environ).port == 9001
    assert load_settings({}, {}).port == 8000


SERVICE_LINKS = {
    "SPECSERVE_SERVICE_HOST": "10.0.0.1",
    "SPECSERVE_SERVICE_PORT": "8000",
    "SPECSERVE_SERVICE_PORT_HTTP": "8000",
    "SPECSERVE_PORT": "tcp://10.0.0.1:8000",
    "SPECSERVE_PORT_8000_TCP": "tcp://10.0.0.1:8000",
    "SPECSERVE_PORT_8000_TCP_PROTO": "tcp",
    "SPECSERVE_PORT_8000_TCP_PORT": "8000",
    "SPECSERVE_PORT_8000_TCP_ADDR": "10.0.0.1",
    "SPECSERVE_GATEWAY_SERVICE_HOST": "10.0.0.2",
    "SPECSERVE_GATEWAY_PORT": "udp://10.0.0.2:8000",
    "SPECSERVE_GATEWAY_PORT_8000_UDP_ADDR": "10.0.0.2",
}


def test_what_kubernetes_says_of_a_service_of_our_name_is_passed_over() -> None:
    settings = load_settings({}, {**SERVICE_LINKS, "SPECSERVE_HOST": "127.0.0.2"})
    assert (settings.host, settings.port) == ("127.0.0.2", 8000)


@pytest.mark.parametrize(
    "environ",
    [
        {"SPECSERVE_PORT": "http://x"},
        {"SPECSERVE_PORTS": "8000"},
        {"SPECSERVE_GATEWAY_PORT": "8000"},
        {"SPECSERVE_PORT_HTTP_TCP": "8000"},
        {"SPECSERVE_SERVICE": "x"},
    ],
)
def test_nothing_else_is_passed_over(environ: dict[str, str]) -> None:
    with pytest.raises(SettingsError):
        load_settings({}, environ)


@pytest.mark.parametrize("name", ["SPECSERVE_HOME", "SPECSERVE_STORE", "SPECSERVE_UPDATE_GOLDEN"])
def test_variables_of_other_programs_are_none_of_ours(name: str) -> None:
    assert load_settings({}, {name: "1"}) == load_settings({}, {})


def test_an_unknown_variable_is_refused_with_a_near_match() -> None:
    with pytest.raises(SettingsError, match=r"SPECSERVE_PROT; did you mean SPECSERVE_PORT\?"):
        load_settings({}, {"SPECSERVE_PROT": "1"})


def test_python_m_server_help() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "server", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert done.returncode == 0
    assert "Exit codes" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_url_that_is_printed_can_be_opened(host: str) -> None:
    with bind(host, 0) as listening:
        url = httpx.URL(url_of(listening))
        assert url.host == host
        with socket.create_connection((url.host, url.port or 0)):
            pass

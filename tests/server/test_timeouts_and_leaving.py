"""Clients that leave and engines that hang: the engine's work ends, the count goes back."""

from __future__ import annotations

import json
from contextlib import suppress

import anyio
import openai
import pytest
from anyio.abc import SocketStream

from server.timeouts import Timeouts
from tests.server.conftest import CHAT, Running, chat, running
from tests.server.fake_engine import MODEL, FakeEngine, FakeWire, Script, text_chunk, whole
from tests.server.waiting import WAIT_S, until

pytestmark = pytest.mark.anyio


async def silent(wire: FakeWire) -> None:
    await wire.gone.wait()


async def headers_then_silent(wire: FakeWire) -> None:
    await wire.begin()
    await wire.gone.wait()


async def one_chunk_then_silent(wire: FakeWire) -> None:
    await wire.begin()
    await wire.event(text_chunk("begun"))
    await wire.gone.wait()


async def gone(wire: FakeWire) -> None:
    with anyio.fail_after(WAIT_S):
        await wire.gone.wait()


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("script", [silent, headers_then_silent])
async def test_client_that_leaves_before_an_answer_cancels_the_engine(
    gateway: Running, engine: FakeEngine, script: Script, stream: bool
) -> None:
    engine.script = script
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: gateway.http.post(CHAT, json=chat(stream=stream)))
        wire = await engine.next_wire()
        assert await gateway.metric("specserve_requests_in_flight") == 1
        tasks.cancel_scope.cancel()
    await gone(wire)
    await gateway.until_idle()
    counted = 'specserve_requests_total{code="client_gone"'
    assert await gateway.metric(counted) == 1


async def test_client_that_leaves_a_stream_cancels_the_engine(
    gateway: Running, engine: FakeEngine
) -> None:
    engine.script = one_chunk_then_silent
    async with gateway.http.stream("POST", CHAT, json=chat(stream=True)) as answer:
        assert "begun" in await anext(answer.aiter_text())
    await gone(engine.wires[0])
    await gateway.until_idle()


async def test_openai_client_that_closes_its_stream_cancels_the_engine(
    gateway: Running, engine: FakeEngine
) -> None:
    engine.script = one_chunk_then_silent
    async with openai.AsyncOpenAI(base_url=gateway.url + "/v1", api_key="x") as client:
        stream = await client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "hi"}], stream=True
        )
        await anext(stream)
        await stream.close()
    await gone(engine.wires[0])
    await gateway.until_idle()


async def begun_body(gateway: Running) -> SocketStream:
    wire = await anyio.connect_tcp("127.0.0.1", int(gateway.url.rsplit(":", 1)[1]))
    await wire.send(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
        b"content-type: application/json\r\ncontent-length: 100\r\n\r\n{"
    )
    return wire


async def test_client_that_leaves_its_body_unfinished_frees_its_place(gateway: Running) -> None:
    async with await begun_body(gateway):
        await until(lambda: gateway.gateway.admission.in_flight == 1)
    await gateway.until_idle()


async def floods(wire: FakeWire) -> None:
    """More than the buffers between engine and client hold, and no end."""
    await wire.begin()
    while True:
        await wire.event(text_chunk("x" * 1_000_000))


async def begun(url: str, *, stream: bool) -> SocketStream:
    """Nothing is read from it until the test does."""
    wire = await anyio.connect_tcp("127.0.0.1", int(url.rsplit(":", 1)[1]))
    body = json.dumps(chat(stream=stream)).encode()
    await wire.send(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
        b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    )
    return wire


async def rest_of(wire: SocketStream) -> bytes:
    received = b""
    with suppress(anyio.BrokenResourceError):
        async for data in wire:
            received += data
    return received


@pytest.mark.parametrize(
    ("timeouts", "code"),
    [
        (Timeouts(write=0.5), "slow_reader"),
        # Here the error event itself is what the client does not take.
        (Timeouts(write=2.0, total=1.0), "timeout_total"),
    ],
)
async def test_a_client_that_stops_reading_is_dropped_and_counted(
    engine: FakeEngine, timeouts: Timeouts, code: str, capfd: pytest.CaptureFixture[str]
) -> None:
    engine.script = floods
    async with (
        running(engine.url, timeouts=timeouts) as gateway,
        await begun(gateway.url, stream=True) as wire,
    ):
        await until(lambda: gateway.gateway.admission.in_flight == 1)
        # In flight until it is counted: no moment in which the client is in neither.
        await until(lambda: gateway.gateway.admission.in_flight == 0)
        assert await gateway.metric(f'specserve_requests_total{{code="{code}"') == 1
        with anyio.fail_after(WAIT_S):
            assert not (await rest_of(wire)).endswith(b"0\r\n\r\n")
    assert capfd.readouterr().err == ""


async def test_a_whole_answer_that_nobody_reads_is_not_kept(engine: FakeEngine) -> None:
    async def script(wire: FakeWire) -> None:
        await wire.respond(200, {**whole(), "id": "x" * 20_000_000})

    engine.script = script
    async with (
        running(engine.url, keep_alive_s=1) as gateway,
        await begun(gateway.url, stream=False) as wire,
    ):
        connections = gateway.listener.server_state.connections
        await until(lambda: len(connections) == 1)
        await until(lambda: not connections)
        with anyio.fail_after(WAIT_S):
            assert len(await rest_of(wire)) < 20_000_000


@pytest.mark.parametrize(
    ("timeouts", "script", "code"),
    [
        (Timeouts(first_token=0.5), silent, "timeout_first_token"),
        (Timeouts(first_token=0.5), headers_then_silent, "timeout_first_token"),
        (Timeouts(total=0.5), silent, "timeout_total"),
    ],
)
async def test_no_first_token_is_504(
    engine: FakeEngine, timeouts: Timeouts, script: Script, code: str
) -> None:
    engine.script = script
    async with running(engine.url, timeouts=timeouts) as gateway:
        answer = await gateway.http.post(CHAT, json=chat(stream=True))
        assert answer.status_code == 504
        assert answer.json()["error"]["code"] == code
        await gone(engine.wires[0])
        await gateway.until_idle()


@pytest.mark.parametrize(
    ("timeouts", "code"),
    [(Timeouts(chunk=0.1), "timeout_chunk"), (Timeouts(total=2.0), "timeout_total")],
)
async def test_a_stream_that_stalls_ends_with_an_error_event(
    engine: FakeEngine, timeouts: Timeouts, code: str
) -> None:
    engine.script = one_chunk_then_silent
    async with running(engine.url, timeouts=timeouts) as gateway:
        answer = await gateway.http.post(CHAT, json=chat(stream=True))
        last = answer.text.split("\n\n")[-2].removeprefix("data: ")
        assert json.loads(last)["error"]["code"] == code
        await gone(engine.wires[0])
        await gateway.until_idle()


async def test_a_whole_answer_has_a_bound(engine: FakeEngine) -> None:
    engine.script = silent
    async with running(engine.url, timeouts=Timeouts(total=0.1)) as gateway:
        answer = await gateway.http.post(CHAT, json=chat())
        assert answer.status_code == 504
        await gateway.until_idle()


async def test_a_body_that_never_ends_is_408(engine: FakeEngine) -> None:
    async with running(engine.url, timeouts=Timeouts(body=0.1)) as gateway:
        async with await begun_body(gateway) as wire:
            with anyio.fail_after(WAIT_S):
                answer = (await wire.receive()).decode()
        assert answer.startswith("HTTP/1.1 408 ")
        await gateway.until_idle()


async def test_more_than_the_limit_is_503_with_retry_after(engine: FakeEngine) -> None:
    engine.script = silent
    async with (
        running(engine.url, max_in_flight=1, max_queued=0) as gateway,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(lambda: gateway.http.post(CHAT, json=chat()))
        await engine.next_wire()
        answer = await gateway.http.post(CHAT, json=chat())
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "overloaded"
        assert int(answer.headers["retry-after"]) >= 1
        tasks.cancel_scope.cancel()

"""A client that leaves, at each point of its request: what it held is free within a second."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio
import pytest

from server.timeouts import Timeouts
from tests.server.conftest import Running, chat, running
from tests.server.fake_engine import FakeEngine, FakeWire, stream_hello, text_chunk
from tests.server.test_timeouts_and_leaving import (
    begun,
    begun_body,
    headers_then_silent,
    one_chunk_then_silent,
    rest_of,
    silent,
)
from tests.server.waiting import WAIT_S, until

pytestmark = pytest.mark.anyio

# From the client's closing its connection to the engine's seeing its own closed.
CANCEL_S = 1.0


@asynccontextmanager
async def one_place(engine: FakeEngine) -> AsyncIterator[Running]:
    async with running(engine.url, max_in_flight=1) as served:
        yield served


async def freed(gateway: Running, phase: str, reason: str = "client_gone") -> None:
    with anyio.fail_after(CANCEL_S):
        await gateway.gateway.admission.wait_idle()
    assert await gateway.metric("specserve_requests_in_flight") == 0
    assert await gateway.metric("specserve_requests_running") == 0
    counted = f'specserve_disconnects_total{{phase="{phase}",reason="{reason}"}}'
    assert await gateway.metric(counted) == 1
    assert await gateway.metric(f'specserve_requests_total{{code="{reason}"') == 1


async def test_in_its_body(gateway: Running, engine: FakeEngine) -> None:
    async with await begun_body(gateway):
        await until(lambda: gateway.gateway.admission.in_flight == 1)
    await freed(gateway, "body")
    assert engine.wires == []


async def test_in_the_queue(engine: FakeEngine) -> None:
    engine.script = silent
    async with one_place(engine) as gateway:
        admission = gateway.gateway.admission
        async with await begun(gateway.url, stream=True):
            await engine.next_wire()
            async with await begun(gateway.url, stream=True):
                await until(lambda: sum(admission.queued().values()) == 1)
            with anyio.fail_after(CANCEL_S):
                await until(lambda: admission.in_flight == 1)
            assert sum(admission.queued().values()) == 0
            left = 'specserve_disconnects_total{phase="queue",reason="client_gone"}'
            assert await gateway.metric(left) == 1
        # The engine has never heard of it.
        assert len(engine.wires) == 1
        with anyio.fail_after(CANCEL_S):
            await engine.wires[0].gone.wait()
            await admission.wait_idle()


@pytest.mark.parametrize("stream", [True, False])
async def test_before_the_engine_answers(
    gateway: Running, engine: FakeEngine, stream: bool
) -> None:
    engine.script = silent
    async with await begun(gateway.url, stream=stream):
        wire = await engine.next_wire()
    with anyio.fail_after(CANCEL_S):
        await wire.gone.wait()
    await freed(gateway, "prefill")


async def test_during_prefill(gateway: Running, engine: FakeEngine) -> None:
    engine.script = headers_then_silent
    async with await begun(gateway.url, stream=True):
        wire = await engine.next_wire()
    with anyio.fail_after(CANCEL_S):
        await wire.gone.wait()
    await freed(gateway, "prefill")


async def test_in_the_middle_of_a_stream(gateway: Running, engine: FakeEngine) -> None:
    engine.script = one_chunk_then_silent
    async with await begun(gateway.url, stream=True) as client:
        wire = await engine.next_wire()
        received = b""
        while b"begun" not in received:
            received += await client.receive()
    with anyio.fail_after(CANCEL_S):
        await wire.gone.wait()
    await freed(gateway, "answer")


async def test_in_the_middle_of_a_whole_answer(gateway: Running, engine: FakeEngine) -> None:
    async def half(wire: FakeWire) -> None:
        await wire.raw(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{"
        )
        await wire.gone.wait()

    engine.script = half
    async with await begun(gateway.url, stream=False):
        wire = await engine.next_wire()
    with anyio.fail_after(CANCEL_S):
        await wire.gone.wait()
    await freed(gateway, "prefill")


@pytest.mark.parametrize("stream", [True, False])
async def test_after_its_answer_nothing_is_cancelled(
    gateway: Running, engine: FakeEngine, stream: bool
) -> None:
    async with await begun(gateway.url, stream=stream) as client:
        received = b""
        end = b"0\r\n\r\n" if stream else b"}}}"
        while not received.endswith(end):
            received += await client.receive()
    with anyio.fail_after(CANCEL_S):
        await gateway.gateway.admission.wait_idle()
    assert await gateway.metric('specserve_requests_total{code="ok"') == 1
    assert await gateway.metric("specserve_disconnects_total") == 0


async def test_a_thousand_that_come_and_go_leave_nothing(engine: FakeEngine) -> None:
    """Each leaves at another point; one that stays is served right after."""
    engine.script = stream_slowly
    async with running(engine.url, max_in_flight=8, max_queued=64) as gateway:
        body = json.dumps(chat(stream=True)).encode()
        head = (
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
            b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
        )
        request = head + body
        port = int(gateway.url.rsplit(":", 1)[1])

        async def come_and_go(number: int) -> None:
            async with await anyio.connect_tcp("127.0.0.1", port) as client:
                await client.send(request[: 1 + number * 7 % len(request)])
                with anyio.move_on_after(number % 5 / 100):
                    await client.receive()

        for start in range(0, 1000, 50):
            async with anyio.create_task_group() as tasks:
                for number in range(start, start + 50):
                    tasks.start_soon(come_and_go, number)
        with anyio.fail_after(WAIT_S):
            await gateway.gateway.admission.wait_idle()
        admission = gateway.gateway.admission
        assert (admission.running, sum(admission.queued().values())) == (0, 0)
        await until(lambda: not gateway.listener.server_state.connections)
        engine.script = stream_hello
        answer = await gateway.http.post("/v1/chat/completions", json=chat(stream=True))
        assert answer.text.endswith("data: [DONE]\n\n")


async def stream_slowly(wire: FakeWire) -> None:
    with suppress(ConnectionError):
        await wire.begin()
        for _ in range(3):
            await anyio.sleep(0.01)
            await wire.event(text_chunk("x"))
        await wire.event(text_chunk("", finish="stop"))
        await wire.done()


async def test_a_slow_reader_is_dropped_with_a_reason_and_holds_little_memory(
    engine: FakeEngine,
) -> None:
    given = 0

    async def flood(wire: FakeWire) -> None:
        nonlocal given
        await wire.begin()
        while True:
            await wire.event(text_chunk("x" * 100_000))
            given += 100_000

    engine.script = flood
    async with (
        running(engine.url, timeouts=Timeouts(write=1.0)) as gateway,
        await begun(gateway.url, stream=True) as client,
    ):
        wire = await engine.next_wire()
        with anyio.fail_after(WAIT_S):
            await wire.gone.wait()
        await freed(gateway, "answer", "slow_reader")
        # Both connections' socket buffers, and one read between them; the stream has no end.
        assert given < 32_000_000
        assert len(await rest_of(client)) < 32_000_000


async def test_a_reader_that_is_slow_but_reads_is_served(engine: FakeEngine) -> None:
    async def long(wire: FakeWire) -> None:
        await wire.begin()
        for _ in range(64):
            await wire.event(text_chunk("x" * 100_000))
        await wire.event(text_chunk("", finish="stop"))
        await wire.done()

    engine.script = long
    async with (
        running(engine.url, timeouts=Timeouts(write=1.0, chunk=0.5)) as gateway,
        await begun(gateway.url, stream=True) as client,
    ):
        received = b""
        while not received.endswith(b"0\r\n\r\n"):
            # Its own pace: never a second without a byte, and longer than the engine may pause.
            await anyio.sleep(0.01)
            received += await client.receive(65536)
        assert b"data: [DONE]" in received
        await gateway.until_idle()

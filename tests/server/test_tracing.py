"""Traces, as a collector on a real port gets them."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import anyio
import pytest

from server.observed import Observers
from server.tracing import OtlpTracing
from tests.server.conftest import CHAT, Running, chat, running
from tests.server.fake_collector import FakeCollector, fake_collector
from tests.server.fake_engine import FakeEngine, FakeWire

pytestmark = pytest.mark.anyio
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "a=b"}


@pytest.fixture
def collector() -> Iterator[FakeCollector]:
    with fake_collector() as server:
        yield server


@dataclass
class Traced:
    gateway: Running
    tracing: OtlpTracing


@pytest.fixture
async def traced(engine: FakeEngine, collector: FakeCollector) -> AsyncIterator[Traced]:
    tracing = OtlpTracing(collector.url)
    async with running(engine.url, observers=Observers(tracing=tracing)) as gateway:
        yield Traced(gateway, tracing)
    tracing.close()


async def sent(traced: Traced) -> None:
    await traced.gateway.until_idle()
    await anyio.to_thread.run_sync(traced.tracing.close)


async def test_a_request_its_queue_and_its_engine(
    traced: Traced, engine: FakeEngine, collector: FakeCollector
) -> None:
    await traced.gateway.http.post(CHAT, json=chat(stream=True), headers=TRACEPARENT)
    await sent(traced)
    request, queue, asked = (collector.named(name) for name in (f"POST {CHAT}", "queue", "engine"))
    assert collector.services == {"specserve"}
    assert {span.trace_id.hex() for span in collector.spans} == {TRACE}
    assert request.parent_span_id.hex() == PARENT
    assert queue.parent_span_id == asked.parent_span_id == request.span_id
    (first,) = asked.events
    assert first.name == "first_token"
    times = [
        *(request.start_time_unix_nano, queue.start_time_unix_nano, queue.end_time_unix_nano),
        *(asked.start_time_unix_nano, first.time_unix_nano, asked.end_time_unix_nano),
        request.end_time_unix_nano,
    ]
    assert times == sorted(times)
    texts = {one.key: one.value.string_value for one in request.attributes}
    numbers = {one.key: one.value.int_value for one in request.attributes}
    assert texts["specserve.pool"] == "speculative"
    assert texts["gen_ai.request.model"] == "fake"
    assert numbers["http.response.status_code"] == 200
    assert numbers["gen_ai.usage.output_tokens"] == 9
    assert numbers["specserve.accepted_tokens"] == 6
    # The engine's own spans go under ours.
    assert engine.wires[0].headers["traceparent"] == f"00-{TRACE}-{asked.span_id.hex()}-01"
    assert engine.wires[0].headers["tracestate"] == "a=b"


async def test_a_failure_is_an_error(
    traced: Traced, engine: FakeEngine, collector: FakeCollector
) -> None:
    async def script(wire: FakeWire) -> None:
        wire.reset()

    engine.script = script
    await traced.gateway.http.post(CHAT, json=chat())
    await sent(traced)
    status = collector.named(f"POST {CHAT}").status
    assert (status.code, status.message) == (2, "engine_lost")


async def test_no_prompt_is_in_a_trace(traced: Traced, collector: FakeCollector) -> None:
    secret = {"messages": [{"role": "user", "content": "my secret"}]}
    await traced.gateway.http.post(CHAT, json=chat(**secret))
    await sent(traced)
    assert collector.spans
    assert "secret" not in str(collector.spans)


@pytest.mark.parametrize("headers", [TRACEPARENT, {}])
async def test_without_traces_a_clients_own_is_passed_on(
    gateway: Running, engine: FakeEngine, headers: dict[str, str]
) -> None:
    await gateway.http.post(CHAT, json=chat(), headers=headers)
    found = engine.wires[0].headers
    assert {name: found[name] for name in TRACEPARENT if name in found} == headers


async def test_a_collector_that_is_not_there_costs_no_request(engine: FakeEngine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        tracing = OtlpTracing(f"http://127.0.0.1:{nobody.getsockname()[1]}")
        async with running(engine.url, observers=Observers(tracing=tracing)) as gateway:
            assert (await gateway.http.post(CHAT, json=chat())).status_code == 200
            with anyio.fail_after(10):
                await anyio.to_thread.run_sync(tracing.close)

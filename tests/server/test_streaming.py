"""What a stream's client gets, over real sockets."""

from __future__ import annotations

import json
from typing import Any

import anyio
import openai
import pytest

from server.timeouts import Timeouts
from server.usage import Pool
from tests.server.conftest import CHAT, Running, chat, running
from tests.server.fake_engine import (
    METRICS,
    MODEL,
    USAGE,
    FakeEngine,
    FakeWire,
    Script,
    role_chunk,
    text_chunk,
    usage_chunk,
)

pytestmark = pytest.mark.anyio
COMPLETION_CHUNK = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": MODEL}


def datas(text: str) -> list[str]:
    return [block.removeprefix("data: ") for block in text.split("\n\n") if block]


async def test_stream_headers_and_end(gateway: Running) -> None:
    answer = await gateway.http.post(CHAT, json=chat(stream=True), headers={"x-request-id": "me-1"})
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-specserve-pool"] == "speculative"
    assert answer.headers["x-request-id"] == "me-1"
    assert datas(answer.text)[-1] == "[DONE]"


async def test_usage_is_asked_for_and_hidden_from_who_did_not_ask(
    gateway: Running, engine: FakeEngine
) -> None:
    answer = await gateway.http.post(CHAT, json=chat(stream=True))
    assert engine.wires[0].json["stream_options"] == {"include_usage": True}
    assert all("usage" not in data for data in datas(answer.text))
    assert await gateway.metric("specserve_accepted_tokens_total") == 6
    assert await gateway.metric("specserve_drafted_tokens_total") == 10


async def test_usage_carries_acceptance(gateway: Running) -> None:
    answer = await gateway.http.post(
        CHAT, json=chat(stream=True, stream_options={"include_usage": True})
    )
    usage = json.loads(datas(answer.text)[-2])
    assert usage["usage"]["completion_tokens_details"] == {
        "accepted_prediction_tokens": 6,
        "rejected_prediction_tokens": 4,
    }
    assert usage["metrics"] == METRICS


async def stream_completion(wire: FakeWire) -> None:
    await wire.begin()
    for text, finish in (("hel", None), ("lo", "length")):
        choice = {"index": 0, "text": text, "finish_reason": finish}
        await wire.event({**COMPLETION_CHUNK, "choices": [choice]})
    await wire.event({**COMPLETION_CHUNK, "choices": [], "usage": USAGE, "metrics": METRICS})
    await wire.done()


async def test_a_completion_streams_with_acceptance(gateway: Running, engine: FakeEngine) -> None:
    engine.script = stream_completion
    async with openai.AsyncOpenAI(base_url=gateway.url + "/v1", api_key="x") as client:
        stream = await client.completions.create(
            model=MODEL, prompt="hi", stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    assert engine.wires[0].path == "/v1/completions"
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices) == "hello"
    usage = chunks[-1].usage
    assert usage is not None
    assert usage.completion_tokens == USAGE["completion_tokens"]
    details = usage.completion_tokens_details
    assert details is not None
    assert (details.accepted_prediction_tokens, details.rejected_prediction_tokens) == (6, 4)
    steps = 'specserve_step_gap_seconds_count{pool="speculative"}'
    assert await gateway.metric(steps) == 1


@pytest.mark.parametrize(
    ("opening", "gaps"),
    [
        ([], 2),
        ([role_chunk()], 2),
        ([role_chunk(0), role_chunk(1), text_chunk("b", index=1, finish="stop")], 0),
    ],
)
async def test_a_gap_is_counted_between_steps_of_one_choice_only(
    gateway: Running, engine: FakeEngine, opening: list[dict[str, Any]], gaps: int
) -> None:
    async def script(wire: FakeWire) -> None:
        await wire.begin()
        for chunk in (*opening, text_chunk("a"), text_chunk("b"), text_chunk("", finish="stop")):
            await wire.event(chunk)
        await wire.done()

    engine.script = script
    await gateway.http.post(CHAT, json=chat(stream=True))
    pool = '{pool="speculative"}'
    assert await gateway.metric(f"specserve_step_gap_seconds_count{pool}") == gaps
    assert await gateway.metric(f"specserve_time_to_first_token_seconds_count{pool}") == 1


USED = {"prompt_tokens": 7, "total_tokens": 16}


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        # The prompt's step gives one token: the other 8 came in the 2 s after it.
        ([[("a", None)], [("b", None)], [("", "stop")]], 0.25),
        # Of the 5 that the first read brought, none counts.
        ([[("a", 2), ("b", 5)], [("c", 7)], [("", 9)]], 0.5),
        # Nobody says how many those were.
        ([[("a", None), ("b", None)], [("", "stop")]], None),
    ],
    ids=["alone", "counted", "unknown"],
)
async def test_time_per_token_is_over_what_came_after_the_first_read(
    engine: FakeEngine, chunks: list[list[tuple[str, Any]]], expected: float | None
) -> None:
    now = 0.0
    seen = anyio.Event()

    async def script(wire: FakeWire) -> None:
        nonlocal now, seen
        await wire.begin()
        for place, read in enumerate(chunks):
            data = b""
            for text, count in read:
                last = place == len(chunks) - 1
                chunk = text_chunk(text, finish="stop" if last else None)
                if isinstance(count, int):
                    chunk["usage"] = {**USED, "completion_tokens": count}
                data += b"data: " + json.dumps(chunk).encode() + b"\n\n"
            await wire.piece(data)
            if place < len(chunks) - 1:
                await seen.wait()
                seen = anyio.Event()
                now += 1.0
        await wire.event(usage_chunk())
        await wire.done()

    engine.script = script
    options = {"include_usage": True, "continuous_usage_stats": True}
    async with running(engine.url, clock=lambda: now) as gateway:
        body = chat(stream=True, stream_options=options)
        async with gateway.http.stream("POST", CHAT, json=body) as answer:
            async for _ in answer.aiter_text():
                seen.set()
        await gateway.until_idle()
        name = "specserve_time_per_output_token_seconds"
        pool = '{pool="speculative"}'
        assert await gateway.metric(f"{name}_count{pool}") == (expected is not None)
        assert await gateway.metric(f"{name}_sum{pool}") == pytest.approx(expected or 0.0)


async def test_a_role_is_no_first_token(engine: FakeEngine) -> None:
    async def script(wire: FakeWire) -> None:
        await wire.begin()
        await wire.event(role_chunk())
        await wire.gone.wait()

    engine.script = script
    async with running(engine.url, timeouts=Timeouts(first_token=0.5)) as gateway:
        answer = await gateway.http.post(CHAT, json=chat(stream=True))
    assert json.loads(datas(answer.text)[-1])["error"]["code"] == "timeout_first_token"


@pytest.mark.parametrize(
    ("pool", "metrics", "expected"),
    [
        ("speculative", None, None),
        ("plain", None, {"accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0}),
    ],
)
async def test_acceptance_that_is_not_known_is_not_invented(
    engine: FakeEngine, pool: Pool, metrics: object, expected: object
) -> None:
    async def script(wire: FakeWire) -> None:
        await wire.begin()
        await wire.event(text_chunk("a", finish="stop"))
        await wire.event(usage_chunk(metrics))
        await wire.done()

    engine.script = script
    async with running(engine.url, pool=pool) as gateway:
        answer = await gateway.http.post(
            CHAT, json=chat(stream=True, stream_options={"include_usage": True})
        )
    usage = json.loads(datas(answer.text)[-2])["usage"]
    assert usage.get("completion_tokens_details") == expected


async def test_a_chunk_is_passed_on_before_the_next_exists(
    gateway: Running, engine: FakeEngine
) -> None:
    seen = anyio.Event()

    async def script(wire: FakeWire) -> None:
        await wire.begin()
        await wire.event(text_chunk("first"))
        await seen.wait()
        await wire.event(text_chunk("", finish="length"))
        await wire.done()

    engine.script = script
    async with gateway.http.stream("POST", CHAT, json=chat(stream=True)) as answer:
        pieces = answer.aiter_text()
        assert "first" in await anext(pieces)
        seen.set()
        rest = "".join([piece async for piece in pieces])
    assert '"finish_reason": "length"' in rest
    assert rest.endswith("data: [DONE]\n\n")


async def test_an_event_torn_into_bytes_arrives_whole(gateway: Running, engine: FakeEngine) -> None:
    event = b"data: " + json.dumps(text_chunk("héé"), ensure_ascii=False).encode() + b"\r\n\r\n"

    async def script(wire: FakeWire) -> None:
        await wire.begin()
        for byte in event:
            await wire.piece(bytes([byte]))
        await wire.event(text_chunk("", finish="stop"))
        await wire.done()

    engine.script = script
    answer = await gateway.http.post(CHAT, json=chat(stream=True))
    assert json.loads(datas(answer.text)[0])["choices"][0]["delta"]["content"] == "héé"


async def reset(wire: FakeWire) -> None:
    wire.reset()


async def vllm_core_dead(wire: FakeWire) -> None:
    message = "EngineCore encountered an issue. See stack trace (above) for the root cause."
    await wire.event({"error": {"message": message, "type": "InternalServerError", "code": 500}})
    await wire.done()


async def done_without_finish(wire: FakeWire) -> None:
    await wire.done()


async def end_without_done(wire: FakeWire) -> None:
    await wire.end()


async def garbage(wire: FakeWire) -> None:
    await wire.piece(b"data: {oops\n\n")
    await wire.end()


DEATHS = [reset, vllm_core_dead, done_without_finish, end_without_done, garbage]


def after_one_chunk(death: Script) -> Script:
    async def script(wire: FakeWire) -> None:
        await wire.begin()
        await wire.event(text_chunk("begun"))
        # A reset would overtake bytes not yet read, so the client must have them first.
        await anyio.sleep(0.05)
        await death(wire)

    return script


@pytest.mark.parametrize("death", DEATHS)
async def test_engine_death_in_a_stream_is_an_error_event(
    gateway: Running, engine: FakeEngine, death: Script
) -> None:
    engine.script = after_one_chunk(death)
    answer = await gateway.http.post(CHAT, json=chat(stream=True))
    begun, last = datas(answer.text)
    assert "begun" in begun
    error = json.loads(last)["error"]
    assert error["code"] == "engine_lost"
    assert error["type"] == "server_error"
    await gateway.until_idle()


@pytest.mark.parametrize("death", DEATHS)
async def test_openai_client_raises_on_engine_death(
    gateway: Running, engine: FakeEngine, death: Script
) -> None:
    engine.script = after_one_chunk(death)
    async with openai.AsyncOpenAI(base_url=gateway.url + "/v1", api_key="x") as client:
        stream = await client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "hi"}], stream=True
        )
        with pytest.raises(openai.APIError) as raised:
            async for _ in stream:
                pass
    assert raised.value.code == "engine_lost"


@pytest.mark.parametrize("death", [reset, vllm_core_dead, done_without_finish, end_without_done])
async def test_engine_death_before_the_first_chunk_is_a_503(
    gateway: Running, engine: FakeEngine, death: Script
) -> None:
    async def script(wire: FakeWire) -> None:
        await wire.begin()
        await death(wire)

    engine.script = script
    answer = await gateway.http.post(CHAT, json=chat(stream=True))
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "12"
    assert answer.json()["error"]["code"] == "engine_lost"


async def test_every_choice_must_finish(gateway: Running, engine: FakeEngine) -> None:
    async def script(wire: FakeWire) -> None:
        await wire.begin()
        await wire.event(text_chunk("a", index=0))
        await wire.event(text_chunk("b", index=1))
        await wire.event(text_chunk("", index=1, finish="stop"))
        await wire.done()

    engine.script = script
    answer = await gateway.http.post(CHAT, json=chat(stream=True, n=2))
    assert json.loads(datas(answer.text)[-1])["error"]["code"] == "engine_lost"


async def test_keep_alive_comments_pass(gateway: Running, engine: FakeEngine) -> None:
    async def script(wire: FakeWire) -> None:
        await wire.begin()
        await wire.piece(b": ping\n\n")
        await wire.event(text_chunk("", finish="stop"))
        await wire.done()

    engine.script = script
    answer = await gateway.http.post(CHAT, json=chat(stream=True))
    assert answer.text.startswith(": ping\n\n")


async def test_connection_refused_is_503_with_retry_after() -> None:
    async with running("http://127.0.0.1:1") as gateway:
        answer = await gateway.http.post(CHAT, json=chat())
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "12"
    assert answer.json()["error"]["code"] == "engine_unavailable"


async def test_connections_are_used_again(gateway: Running, engine: FakeEngine) -> None:
    for _ in range(3):
        assert (await gateway.http.post(CHAT, json=chat(stream=True))).status_code == 200
    assert len({wire.writer.get_extra_info("peername") for wire in engine.wires}) == 1


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_has_everything_is_not_counted_as_gone(
    gateway: Running, stream: bool
) -> None:
    for _ in range(20):
        await gateway.http.post(CHAT, json=chat(stream=stream))
    await gateway.until_idle()
    assert await gateway.metric('specserve_requests_total{code="ok"') == 20
    assert await gateway.metric('specserve_requests_total{code="client_gone"') == 0

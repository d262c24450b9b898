"""/v1/responses, /tokenize and /detokenize over real sockets."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from server.usage import Pool
from tests.server.conftest import Running, running
from tests.server.fake_engine import MODEL, FakeEngine, FakeWire, Script
from tests.server.test_requests import is_openai_error
from tests.server.test_structured import GOOD, PERSON

pytestmark = pytest.mark.anyio
RESPONSES = "/v1/responses"
FORM = {"text": {"format": {"type": "json_schema", "name": "x", "schema": PERSON}}}
USAGE = {
    "input_tokens": 5,
    "output_tokens": 6,
    "total_tokens": 11,
    "output_tokens_details": {"reasoning_tokens": 0},
    "input_tokens_details": {"cached_tokens": 0},
}
SPECULATIVE = {"num_draft_tokens": 10, "num_accepted_draft_tokens": 6, "num_spec_steps": 2}


def message(text: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": []}
    return {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "content": [part],
    }


def response(text: str, status: str = "completed", **more: object) -> dict[str, Any]:
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": MODEL,
        "status": status,
        "output": [message(text)],
        "usage": USAGE,
        "metrics": {"speculative_decoding": None},
        **more,
    }


def asked(**more: object) -> dict[str, Any]:
    return {"model": MODEL, "input": "hi", **more}


def typed(kind: str, number: int, **more: object) -> bytes:
    document = json.dumps({"type": kind, "sequence_number": number, **more})
    return f"event: {kind}\ndata: {document}\n\n".encode()


def stream(*texts: str, status: str | None = "completed") -> Script:
    """None: the engine goes on for ever."""

    async def script(wire: FakeWire) -> None:
        await wire.begin()
        opened = response("", "in_progress", output=[], usage=None)
        await wire.piece(typed("response.created", 0, response=opened))
        for number, text in enumerate(texts, 1):
            delta = {"item_id": "msg_1", "output_index": 0, "content_index": 0, "delta": text}
            await wire.piece(typed("response.output_text.delta", number, **delta))
        if status is None:
            await wire.gone.wait()
            return
        last = response("".join(texts), status)
        await wire.piece(typed(f"response.{status}", len(texts) + 1, response=last))
        await wire.end()

    return script


def events_in(text: str) -> list[tuple[str, dict[str, Any]]]:
    blocks = (block.split("\n", 1) for block in text.split("\n\n") if block)
    return [
        (kind.removeprefix("event: "), json.loads(data.removeprefix("data: ")))
        for kind, data in blocks
    ]


async def events(gateway: Running, **more: object) -> list[tuple[str, dict[str, Any]]]:
    answer = await gateway.http.post(RESPONSES, json=asked(stream=True, **more))
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    return events_in(answer.text)


@pytest.mark.parametrize(
    ("pool", "counts", "expected"),
    [
        ("plain", None, (0, 0)),
        ("speculative", None, (None, None)),
        ("speculative", SPECULATIVE, (6, 4)),
    ],
)
@pytest.mark.parametrize("streamed", [True, False])
async def test_usage_has_acceptance_where_it_is_known(
    engine: FakeEngine,
    pool: Pool,
    counts: object,
    expected: tuple[int | None, int | None],
    streamed: bool,
) -> None:
    last = response("hi", metrics={"speculative_decoding": counts})

    async def script(wire: FakeWire) -> None:
        if not streamed:
            await wire.respond(200, last)
            return
        await wire.begin()
        await wire.piece(typed("response.completed", 1, response=last))
        await wire.end()

    engine.script = script
    async with running(engine.url, pool=pool) as gateway:
        answer = await gateway.http.post(RESPONSES, json=asked(stream=streamed))
        assert await gateway.metric("specserve_completion_tokens_total") == 6
    document = events_in(answer.text)[-1][1]["response"] if streamed else answer.json()
    details = document["usage"]["output_tokens_details"]
    names = ("accepted_prediction_tokens", "rejected_prediction_tokens")
    assert tuple(details.get(name) for name in names) == expected
    assert details["reasoning_tokens"] == 0


async def test_a_stream_comes_as_it_is_and_ends_without_a_mark(
    gateway: Running, engine: FakeEngine
) -> None:
    engine.script = stream("hel", "lo")
    found = await events(gateway)
    assert [kind for kind, _ in found] == [
        "response.created",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.completed",
    ]
    assert engine.wires[0].json == asked(stream=True)
    pool = '{pool="speculative"}'
    assert await gateway.metric(f"specserve_time_to_first_token_seconds_count{pool}") == 1
    await gateway.until_idle()


async def lost(wire: FakeWire) -> None:
    await wire.begin()
    await wire.piece(typed("response.created", 0, response={}))
    wire.reset()


async def ended(wire: FakeWire) -> None:
    await wire.begin()
    await wire.piece(typed("response.created", 0, response={}))
    await wire.end()


async def failed(wire: FakeWire) -> None:
    await wire.begin()
    await wire.piece(typed("response.created", 0, response={}))
    broken = response("", "failed", error={"code": "server_error", "message": "EngineCore died"})
    await wire.piece(typed("response.failed", 1, response=broken))
    await wire.end()


@pytest.mark.parametrize("death", [lost, ended, failed])
async def test_a_stream_that_dies_is_an_error_to_the_official_client(
    gateway: Running, engine: FakeEngine, death: Script
) -> None:
    engine.script = death
    async with openai.AsyncOpenAI(
        base_url=gateway.url + "/v1", api_key="x", max_retries=0
    ) as client:
        with pytest.raises(openai.APIError) as raised:
            async for _ in await client.responses.create(model=MODEL, input="hi", stream=True):
                pass
    assert raised.value.code == "engine_lost"


async def test_an_answer_of_the_wrong_form(gateway: Running, engine: FakeEngine) -> None:
    async def script(wire: FakeWire) -> None:
        await wire.respond(200, response("{}"))

    engine.script = script
    answer = await gateway.http.post(RESPONSES, json=asked(**FORM))
    assert answer.status_code == 502
    assert is_openai_error(answer)["code"] == "invalid_structured_output"
    assert len(engine.wires) == 2
    engine.script = stream("{", "}")
    kind, last = (await events(gateway, **FORM))[-1]
    assert (kind, last["code"]) == ("error", "invalid_structured_output")
    assert last["error"]["code"] == last["code"]


@pytest.mark.parametrize(
    ("texts", "status", "verdict"),
    [
        ((GOOD,), "completed", "valid"),
        ((GOOD[:-1],), "incomplete", "incomplete"),
    ],
)
async def test_a_stream_says_its_verdict(
    gateway: Running, engine: FakeEngine, texts: tuple[str, ...], status: str, verdict: str
) -> None:
    engine.script = stream(*texts, status=status)
    kind, last = (await events(gateway, **FORM))[-1]
    assert kind == last["type"] == f"response.{status}"
    assert last["response"]["specserve"] == {"structured": verdict}


@pytest.mark.parametrize(
    ("texts", "status", "verdict"),
    [
        ((GOOD, " " * 50), "completed", "valid"),
        (('{"name"', " " * 600), "incomplete", "incomplete"),
    ],
)
async def test_white_space_without_end_is_ended_and_the_engine_stopped(
    gateway: Running, engine: FakeEngine, texts: tuple[str, ...], status: str, verdict: str
) -> None:
    engine.script = stream(*texts, status=None)
    async with openai.AsyncOpenAI(base_url=gateway.url + "/v1", api_key="x") as client:
        request: Any = {"model": MODEL, "input": "hi", **FORM}
        *_, last = [event async for event in await client.responses.create(**request, stream=True)]
    assert last.type == f"response.{status}"
    assert last.response.output_text == "".join(texts)
    assert last.response.specserve == {"structured": verdict}
    await gateway.until_idle()
    assert engine.wires[0].gone.is_set()


@pytest.mark.parametrize(
    ("more", "param", "code"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id", "unsupported_parameter"),
        ({"background": True}, "background", "unsupported_value"),
        ({"store": True}, "store", "unsupported_value"),
        ({"messages": []}, "messages", "unknown_parameter"),
        ({"input": 3}, "input", "invalid_type"),
        ({"max_output_tokens": 0}, "max_output_tokens", "invalid_value"),
        ({"tools": [{"type": "web_search"}]}, "tools.0.type", "unsupported_value"),
        ({"text": {"verbosity": "low"}}, "text.verbosity", "unsupported_value"),
    ],
)
async def test_what_would_be_ignored_is_refused(
    gateway: Running, engine: FakeEngine, more: dict[str, Any], param: str, code: str
) -> None:
    answer = await gateway.http.post(RESPONSES, json=asked(**more))
    assert answer.status_code == 400
    error = is_openai_error(answer)
    assert (error["param"], error["code"]) == (param, code)
    assert engine.wires == []


TOO_LONG = "This model's maximum context length is 1024 tokens. However, ..."


async def test_the_engines_refusal_names_the_input(gateway: Running, engine: FakeEngine) -> None:
    async def script(wire: FakeWire) -> None:
        await wire.respond(400, {"error": {"message": TOO_LONG, "param": "input_text"}})

    engine.script = script
    answer = await gateway.http.post(RESPONSES, json=asked())
    error = is_openai_error(answer)
    assert (error["param"], error["code"]) == ("input", "context_length_exceeded")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/tokenize", {"model": MODEL, "prompt": "a"}),
        ("/tokenize", {"model": MODEL, "messages": [{"role": "user", "content": "a"}]}),
        ("/detokenize", {"model": MODEL, "tokens": [1, 2]}),
    ],
)
async def test_tokenize(
    gateway: Running, engine: FakeEngine, path: str, body: dict[str, Any]
) -> None:
    said = {"count": 1, "max_model_len": 9, "tokens": [1]}

    async def script(wire: FakeWire) -> None:
        await wire.respond(200, said)

    engine.script = script
    answer = await gateway.http.post(path, json=body)
    assert answer.status_code == 200
    assert answer.json() == said
    assert (engine.wires[0].path, engine.wires[0].json) == (path, body)
    assert await gateway.metric("specserve_completion_tokens_total") == 0


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/tokenize", {"model": MODEL}, "prompt"),
        ("/tokenize", {"model": MODEL, "prompt": "a", "messages": []}, "prompt"),
        ("/tokenize", {"prompt": "a"}, "model"),
        ("/tokenize", {"model": MODEL, "promt": "a"}, "promt"),
        ("/tokenize", {"model": MODEL, "messages": [{"role": "x"}]}, "messages.0.role"),
        ("/detokenize", {"model": MODEL, "tokens": ["a"]}, "tokens.0"),
    ],
)
async def test_bad_tokenize(
    gateway: Running, engine: FakeEngine, path: str, body: dict[str, Any], param: str
) -> None:
    answer = await gateway.http.post(path, json=body)
    assert answer.status_code == 400
    assert is_openai_error(answer)["param"] == param
    assert engine.wires == []

"""Structured output in streams over real sockets: the last event says how it ended."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from tests.server.conftest import CHAT, Running, chat
from tests.server.fake_engine import (
    MODEL,
    FakeEngine,
    FakeWire,
    Script,
    text_chunk,
    usage_chunk,
)
from tests.server.guaranteed import BAD, outcome
from tests.server.test_structured import GOOD, NAMED, PERSON, form, tool

pytestmark = pytest.mark.anyio


def running_usage(tokens: int) -> dict[str, Any]:
    return {"prompt_tokens": 7, "completion_tokens": tokens, "total_tokens": 7 + tokens}


def stream(*texts: str, finish: str = "stop", after: Script | None = None) -> Script:
    async def script(wire: FakeWire) -> None:
        await wire.begin()
        for count, text in enumerate(texts, 1):
            last = count == len(texts) and after is None
            chunk = text_chunk(text, finish=finish if last else None)
            await wire.event({**chunk, "usage": running_usage(count)})
        if after is not None:
            await after(wire)
            return
        await wire.event(usage_chunk())
        await wire.done()

    return script


async def events(gateway: Running, path: str = CHAT, **more: object) -> list[dict[str, Any]]:
    answer = await gateway.http.post(path, json=chat(stream=True, **more))
    assert answer.status_code == 200
    found = [block.removeprefix("data: ") for block in answer.text.split("\n\n") if block]
    ended = found[-1] == "[DONE]"
    documents = [json.loads(block) for block in (found[:-1] if ended else found)]
    assert ended == ("error" not in documents[-1])
    return documents


def text_of(documents: list[dict[str, Any]]) -> str:
    deltas = (one["choices"][0]["delta"] for one in documents if one.get("choices"))
    return "".join(delta.get("content") or "" for delta in deltas)


async def test_the_last_chunk_says_valid(gateway: Running, engine: FakeEngine) -> None:
    engine.script = stream(GOOD[:5], GOOD[5:])
    first, last = await events(gateway, **form(PERSON))
    assert "specserve" not in first
    assert last["specserve"] == {"structured": "valid"}
    assert last["choices"][0]["finish_reason"] == "stop"
    assert text_of([first, last]) == GOOD
    # Asked for by the gateway, and not by the client.
    assert engine.wires[0].json["stream_options"] == {
        "include_usage": True,
        "continuous_usage_stats": True,
    }
    assert "usage" not in first | last


async def test_usage_is_there_as_it_was_asked_for(gateway: Running, engine: FakeEngine) -> None:
    engine.script = stream(GOOD[:5], GOOD[5:])
    asked = {"include_usage": True}
    *chunks, usage = await events(gateway, stream_options=asked, **form(PERSON))
    assert all("usage" not in chunk for chunk in chunks)
    assert usage["usage"]["completion_tokens_details"]["accepted_prediction_tokens"] == 6
    asked = {"include_usage": True, "continuous_usage_stats": True}
    chunks = await events(gateway, stream_options=asked, **form(PERSON))
    assert [chunk["usage"]["completion_tokens"] for chunk in chunks] == [1, 2, 9]


async def test_an_invalid_stream_has_no_end_but_an_error(
    gateway: Running, engine: FakeEngine
) -> None:
    engine.script = stream(BAD[:5], BAD[5:])
    first, last = await events(gateway, **form(PERSON))
    assert first["choices"][0]["finish_reason"] is None
    assert last["error"]["code"] == "invalid_structured_output"
    assert await outcome(gateway, "json_schema", "schema") == 1
    assert await gateway.metric("specserve_completion_tokens_total") == 2
    await gateway.until_idle()


async def test_a_stream_that_was_cut_off_says_incomplete(
    gateway: Running, engine: FakeEngine
) -> None:
    engine.script = stream(GOOD[:5], GOOD[5:-1], finish="length")
    *_, last = await events(gateway, **form(PERSON))
    assert last["choices"][0]["finish_reason"] == "length"
    assert last["specserve"] == {"structured": "incomplete"}


async def gone(wire: FakeWire) -> None:
    await wire.gone.wait()


@pytest.mark.parametrize(
    ("texts", "reason", "verdict"),
    [
        ((GOOD, " " * 20, "\n" * 20), "stop", "valid"),
        ((BAD[:-1] + " " * 600,), "length", "incomplete"),
        (('{"name": "', " " * 600, '", "age"', " " * 600), "length", "incomplete"),
    ],
    ids=["behind", "inside", "not in a string"],
)
async def test_white_space_without_end_is_ended_and_the_engine_stopped(
    gateway: Running, engine: FakeEngine, texts: tuple[str, ...], reason: str, verdict: str
) -> None:
    engine.script = stream(*texts, after=gone)
    asked = {"include_usage": True}
    *chunks, usage = await events(gateway, stream_options=asked, **form(PERSON))
    assert chunks[-1]["choices"][0]["finish_reason"] == reason
    assert chunks[-1]["specserve"] == {"structured": verdict}
    assert text_of(chunks) == "".join(texts)
    assert usage["choices"] == []
    assert usage["usage"] == running_usage(len(texts))
    await gateway.until_idle()
    assert engine.wires[0].gone.is_set()
    assert await gateway.metric("specserve_whitespace_cuts_total") == 1


async def test_a_whole_value_of_a_wrong_form_with_white_space_behind_it_is_an_error(
    gateway: Running, engine: FakeEngine
) -> None:
    engine.script = stream(BAD, " " * 50, after=gone)
    *_, last = await events(gateway, **form(PERSON))
    assert last["error"]["code"] == "invalid_structured_output"


async def test_deep_indentation_is_no_runaway(gateway: Running, engine: FakeEngine) -> None:
    deep: Any = 1
    for _ in range(30):
        deep = {"a": deep}
    text = json.dumps(deep, indent=8)
    engine.script = stream(text[:100], text[100:])
    documents = await events(gateway, response_format={"type": "json_object"})
    assert text_of(documents) == text
    assert documents[-1]["specserve"] == {"structured": "valid"}


async def test_one_choice_that_runs_away_waits_for_the_others(
    gateway: Running, engine: FakeEngine
) -> None:
    async def script(wire: FakeWire) -> None:
        await wire.begin()
        for text, index in ((GOOD + " " * 40, 0), (GOOD[:5], 1), (" " * 40, 0)):
            await wire.event({**text_chunk(text, index=index), "usage": running_usage(3)})
        await wire.event(text_chunk(GOOD[5:], index=1, finish="stop"))
        await wire.gone.wait()

    engine.script = script
    documents = await events(gateway, n=2, **form(PERSON))
    said = {0: "", 1: ""}
    for document in documents:
        for choice in document["choices"]:
            said[choice["index"]] += choice["delta"].get("content", "")
    assert said == {0: GOOD + " " * 40, 1: GOOD}
    ends = [(one["index"], one["finish_reason"]) for one in documents[-1]["choices"]]
    assert ends == [(0, "stop"), (1, "stop")]
    assert documents[-1]["specserve"] == {"structured": "valid"}


def call_chunk(finish: str | None = None, **function: str) -> dict[str, Any]:
    chunk = text_chunk("", finish=finish)
    chunk["choices"][0]["delta"] = {"tool_calls": [{"index": 0, "function": function}]}
    return chunk


@pytest.mark.parametrize(("name", "verdict"), [("a", "valid"), ("b", None)])
async def test_calls_in_a_stream(
    gateway: Running, engine: FakeEngine, name: str, verdict: str | None
) -> None:
    async def script(wire: FakeWire) -> None:
        await wire.begin()
        await wire.event(call_chunk(name=name))
        await wire.event(call_chunk(arguments=GOOD[:5]))
        await wire.event(call_chunk(arguments=GOOD[5:], finish="tool_calls"))
        await wire.event(usage_chunk())
        await wire.done()

    engine.script = script
    tools = [tool("a"), tool("b")]
    *_, last = await events(gateway, tools=tools, tool_choice=NAMED)
    if verdict:
        assert last["specserve"] == {"structured": verdict}
    else:
        assert last["error"]["code"] == "invalid_structured_output"


async def test_the_official_client_takes_the_mark_and_raises_on_the_error(
    gateway: Running, engine: FakeEngine
) -> None:
    async with openai.AsyncOpenAI(base_url=gateway.url + "/v1", api_key="x") as client:
        request: Any = {"model": MODEL, "messages": chat()["messages"], **form(PERSON)}
        engine.script = stream(GOOD[:5], GOOD[5:])
        chunks = [
            chunk async for chunk in await client.chat.completions.create(**request, stream=True)
        ]
        assert chunks[-1].model_extra == {"specserve": {"structured": "valid"}}
        engine.script = stream(BAD)
        with pytest.raises(openai.APIError) as raised:
            async for _ in await client.chat.completions.create(**request, stream=True):
                pass
        assert raised.value.code == "invalid_structured_output"

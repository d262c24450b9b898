"""Structured output over real sockets: what reaches a client is what it asked for, or an error."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from server.app import Limits
from server.config.sections import EjectionConfig
from tests.server.conftest import CHAT, Running, chat
from tests.server.fake_engine import (
    MODEL,
    USAGE,
    FakeEngine,
    FakeWire,
    Script,
    text_chunk,
    usage_chunk,
    whole,
)
from tests.server.pools import fleet_of
from tests.server.test_structured import GOOD, NAMED, PERSON, form, tool

pytestmark = pytest.mark.anyio
BAD = '{"name": "a", "age": 3}'
COMPLETIONS = "/v1/completions"


def answered(text: str | None, finish: str = "stop", **message: object) -> dict[str, Any]:
    document = whole()
    inner = {"role": "assistant", "content": text, **message}
    document["choices"] = [{"index": 0, "message": inner, "finish_reason": finish}]
    return document


def say(*documents: dict[str, Any]) -> Script:
    """One after the other, then the last again and again."""
    left = list(documents)

    async def script(wire: FakeWire) -> None:
        await wire.respond(200, left.pop(0) if len(left) > 1 else left[0])

    return script


def called(name: str, arguments: str) -> dict[str, Any]:
    call = {"id": "c", "type": "function", "function": {"name": name, "arguments": arguments}}
    return answered(None, "tool_calls", tool_calls=[call])


async def outcome(gateway: Running, kind: str, result: str) -> float:
    labels = f'form="{kind}",outcome="{result}",pool="speculative"'
    return await gateway.metric(f"specserve_structured_outputs_total{{{labels}}}")


async def test_a_valid_answer_says_so(gateway: Running, engine: FakeEngine) -> None:
    engine.script = say(answered(GOOD))
    answer = (await gateway.http.post(CHAT, json=chat(**form(PERSON)))).json()
    assert answer["specserve"] == {"structured": "valid"}
    assert answer["choices"][0]["message"]["content"] == GOOD
    assert await outcome(gateway, "json_schema", "valid") == 1


async def test_an_answer_without_a_form_is_not_looked_at(
    gateway: Running, engine: FakeEngine
) -> None:
    engine.script = say(answered("{"))
    answer = (await gateway.http.post(CHAT, json=chat())).json()
    assert "specserve" not in answer
    assert len(engine.wires) == 1


async def test_an_invalid_answer_is_asked_for_once_more(
    gateway: Running, engine: FakeEngine
) -> None:
    engine.script = say(answered(BAD), answered(GOOD))
    answer = await gateway.http.post(CHAT, json=chat(**form(PERSON)))
    assert answer.status_code == 200
    assert answer.json()["choices"][0]["message"]["content"] == GOOD
    assert [wire.json for wire in engine.wires] == [chat(**form(PERSON))] * 2
    assert await outcome(gateway, "json_schema", "schema") == 1
    assert await outcome(gateway, "json_schema", "valid") == 1
    labels = 'code="invalid_structured_output",pool="speculative"'
    assert await gateway.metric(f"specserve_retries_total{{{labels}}}") == 1


@pytest.mark.parametrize(
    ("asked", "document", "said"),
    [
        (form(PERSON), answered(BAD), '3 is not one of [1, 2] (at $["age"])'),
        (form(PERSON), answered("Sure! " + GOOD), "it is not JSON"),
        ({"structured_outputs": {"choice": ["a"]}}, answered("b"), "none of the choices"),
        ({"tools": [tool("a")], "tool_choice": "required"}, answered("hi"), "any function"),
        (
            {"tools": [tool("a"), tool("b")], "tool_choice": NAMED},
            called("b", GOOD),
            "it calls 'b', not 'a'",
        ),
        (
            {"tools": [tool("a"), tool("b")], "tool_choice": NAMED},
            called("a", "{}"),
            "the arguments of a: 'name' is a required property",
        ),
    ],
)
async def test_twice_invalid_is_an_error_that_says_what_was_wrong(
    gateway: Running,
    engine: FakeEngine,
    asked: dict[str, Any],
    document: dict[str, Any],
    said: str,
) -> None:
    engine.script = say(document)
    answer = await gateway.http.post(CHAT, json=chat(**asked))
    assert answer.status_code == 502
    error = answer.json()["error"]
    assert error["code"] == "invalid_structured_output"
    assert said in error["message"]
    assert len(engine.wires) == 2


@pytest.mark.parametrize(
    "cut",
    [
        answered('{"name": "a', "length"),
        {
            **answered("x"),
            "choices": [
                {
                    "index": 0,
                    "message": {"content": '{"name"'},
                    "finish_reason": "stop",
                    "stop_reason": ":",
                }
            ],
        },
    ],
    ids=["limit", "stop string"],
)
async def test_what_was_cut_off_is_passed_on_and_told_apart(
    gateway: Running, engine: FakeEngine, cut: dict[str, Any]
) -> None:
    engine.script = say(cut)
    answer = await gateway.http.post(CHAT, json=chat(**form(PERSON)))
    assert answer.status_code == 200
    assert answer.json()["choices"] == cut["choices"]
    assert answer.json()["specserve"] == {"structured": "incomplete"}
    assert len(engine.wires) == 1
    assert await outcome(gateway, "json_schema", "incomplete") == 1


async def test_a_whole_value_with_white_space_up_to_the_limit_ends_where_it_ended(
    gateway: Running, engine: FakeEngine
) -> None:
    engine.script = say(answered(GOOD + " \n" * 5000, "length"))
    answer = (await gateway.http.post(CHAT, json=chat(**form(PERSON)))).json()
    (choice,) = answer["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == (GOOD, "stop")
    assert answer["specserve"] == {"structured": "valid"}


async def test_one_bad_choice_of_several_spoils_them(gateway: Running, engine: FakeEngine) -> None:
    document = answered(GOOD)
    document["choices"].append(answered(BAD)["choices"][0] | {"index": 1})
    engine.script = say(document)
    answer = await gateway.http.post(CHAT, json=chat(n=2, **form(PERSON)))
    assert answer.json()["error"]["code"] == "invalid_structured_output"


async def test_a_schema_that_cannot_be_used_never_reaches_the_engine(
    gateway: Running, engine: FakeEngine
) -> None:
    answer = await gateway.http.post(CHAT, json=chat(**form({"type": "nonsense"})))
    assert answer.json()["error"]["code"] == "invalid_json_schema"
    assert engine.wires == []


async def test_a_big_body_is_read_beside_the_streams(gateway: Running, engine: FakeEngine) -> None:
    engine.script = say(answered(GOOD))
    long = [{"role": "user", "content": "x" * 200_000}]
    answer = await gateway.http.post(CHAT, json=chat(messages=long, **form(PERSON)))
    assert answer.json()["specserve"] == {"structured": "valid"}


TRUNCATED = (
    "1 validation error for list[function-wrap[__log_extra_fields__()]]\n  Invalid JSON: EOF while "
    "parsing a string at line 1 column 20 [type=json_invalid, input_value='[{\"name\"', "
    "input_type=str]\n    For further information visit https://errors.pydantic.dev/2.12/v/json_in"
)


@pytest.mark.parametrize(
    ("message", "status", "code", "asked"),
    [
        (TRUNCATED, 400, "output_cut_off", 1),
        (
            TRUNCATED.replace("EOF while parsing a string", "expected value"),
            502,
            "invalid_structured_output",
            2,
        ),
    ],
)
async def test_vllm_016_has_no_answer_for_calls_that_it_cannot_read(
    gateway: Running, engine: FakeEngine, message: str, status: int, code: str, asked: int
) -> None:
    async def script(wire: FakeWire) -> None:
        await wire.respond(400, {"error": {"message": message, "param": None, "code": 400}})

    engine.script = script
    answer = await gateway.http.post(CHAT, json=chat(tools=[tool("a")], tool_choice="required"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert "pydantic" not in answer.text
    assert len(engine.wires) == asked


# Streams.


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


async def test_completions_too(gateway: Running, engine: FakeEngine) -> None:
    async def script(wire: FakeWire) -> None:
        choice = {"index": 0, "text": BAD, "finish_reason": "stop"}
        document = {"object": "text_completion", "choices": [choice], "usage": USAGE}
        if not wire.json.get("stream"):
            await wire.respond(200, document)
            return
        await wire.begin()
        await wire.event(document)
        await wire.done()

    engine.script = script
    for stream in (False, True):
        body = {"model": MODEL, "prompt": "x", "stream": stream, **form(PERSON)}
        answer = await gateway.http.post(COMPLETIONS, json=body)
        assert "invalid_structured_output" in answer.text


# Two pools.


@pytest.mark.parametrize("mode", ["auto", "on"])
async def test_the_second_chance_is_the_plain_pools_where_it_may_be(mode: str) -> None:
    async with fleet_of({"spec": "speculative", "plain": "plain"}) as pools:
        pools["spec"].engine.script = say(answered(BAD))
        pools["plain"].engine.script = say(answered(GOOD))
        body = chat(speculation=mode, **form(PERSON))
        answer = await pools.http.post(CHAT, json=body)
    if mode == "on":
        # Who insists on speculation gets it twice.
        assert answer.json()["error"]["code"] == "invalid_structured_output"
        assert (pools["spec"].asked, pools["plain"].asked) == (2, 0)
    else:
        assert answer.json()["specserve"] == {"structured": "valid"}
        assert answer.headers["x-specserve-pool"] == "plain"
        assert (pools["spec"].asked, pools["plain"].asked) == (1, 1)


async def test_a_second_chance_is_given_once_and_ejects_nobody() -> None:
    once = EjectionConfig(errors=1)
    async with fleet_of(
        {"spec": "speculative", "plain": "plain", "more": "plain"}, Limits(ejection=once)
    ) as pools:
        for fake in pools.fakes.values():
            fake.engine.script = say(answered(BAD))
        answer = await pools.http.post(CHAT, json=chat(**form(PERSON)))
        assert answer.json()["error"]["code"] == "invalid_structured_output"
        assert sum(fake.asked for fake in pools.fakes.values()) == 2
        assert await pools.metric("specserve_ejections_total") == 0

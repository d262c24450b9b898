"""Structured output over real sockets: what reaches a client is what it asked for, or an error."""

from __future__ import annotations

from typing import Any

import pytest

from server.app import Limits
from server.config.sections import EjectionConfig
from tests.server.conftest import CHAT, Running, chat
from tests.server.fake_engine import (
    MODEL,
    USAGE,
    FakeEngine,
    FakeWire,
)
from tests.server.guaranteed import BAD, answered, called, outcome, say
from tests.server.pools import fleet_of
from tests.server.test_structured import GOOD, NAMED, PERSON, form, tool

pytestmark = pytest.mark.anyio
COMPLETIONS = "/v1/completions"


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

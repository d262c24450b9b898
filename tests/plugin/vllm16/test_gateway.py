"""Our gateway in front of the fused engine, as a client meets it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from neuron.local.corpus import held_out
from neuron.startup_check import check_engine
from server.upstream_http import http_upstream
from tests.engine.test_gateway import CONNECT_S, Ready, gateway
from tests.plugin.vllm16.engine import MAX_PROMPT, MODEL, Engine
from tests.plugin.vllm16.engine import client as engine_client

pytestmark = pytest.mark.anyio


@pytest.fixture
async def client(engine: Engine) -> AsyncIterator[openai.AsyncOpenAI]:
    async with (
        http_upstream(engine.base_url, connect_s=CONNECT_S) as upstream,
        engine_client(engine) as models,
        gateway(upstream, models, Ready(), "speculative") as served,
    ):
        yield served


def messages(task: str = "json_extract") -> Any:  # noqa: ANN401 - the client's own unions
    return [dict(message) for message in held_out(task, 1)[0].messages]


async def test_chat_whole_and_streamed(client: openai.AsyncOpenAI) -> None:
    asked: dict[str, Any] = {"model": MODEL, "messages": messages(), "temperature": 0}
    whole = await client.chat.completions.create(**asked, max_tokens=100)
    stream = await client.chat.completions.create(
        **asked, max_tokens=100, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    # Several tokens a step leave in one chunk.
    assert len(chunks) < whole.usage.completion_tokens


@pytest.mark.parametrize("fields", [{"temperature": 0}, {"temperature": 1, "seed": 5}])
async def test_acceptance_is_where_openais_clients_look(
    engine: Engine, client: openai.AsyncOpenAI, fields: dict[str, Any]
) -> None:
    asked: dict[str, Any] = {"model": MODEL, "messages": messages(), "max_tokens": 60, **fields}
    before = engine.spec_decode()
    whole = await client.chat.completions.create(**asked)
    after = engine.spec_decode()
    chunks = [
        chunk
        async for chunk in await client.chat.completions.create(
            **asked, stream=True, stream_options={"include_usage": True}
        )
    ]
    details = whole.usage.completion_tokens_details
    assert details == chunks[-1].usage.completion_tokens_details
    accepted = after["accepted_tokens"] - before["accepted_tokens"]
    drafted = after["draft_tokens"] - before["draft_tokens"]
    assert details.accepted_prediction_tokens == accepted > 0
    assert details.rejected_prediction_tokens == drafted - accepted


async def test_structured_output(client: openai.AsyncOpenAI) -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer", "minimum": 0, "maximum": 9}},
        "required": ["n"],
    }
    answer = await client.chat.completions.create(
        model=MODEL,
        messages=messages(),
        temperature=0,
        max_tokens=100,
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "n", "schema": {**schema, "additionalProperties": False}},
        },
    )
    assert isinstance(json.loads(answer.choices[0].message.content or "")["n"], int)


async def test_a_refusal_comes_through_with_its_sentence(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="compiled for prompts of"):
        await client.completions.create(model=MODEL, prompt=[5] * (MAX_PROMPT + 1), max_tokens=1)


async def test_the_start_up_check_is_a_real_generation(engine: Engine) -> None:
    async with engine_client(engine) as upstream:
        await check_engine(upstream, MODEL)


async def test_a_named_call_is_whole_and_said_to_be_valid(client: openai.AsyncOpenAI) -> None:
    """Its grammar ends after one call of few words, whatever a weak model would rather write."""
    parameters = {
        "type": "object",
        "properties": {"unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}},
        "required": ["unit"],
        "additionalProperties": False,
    }
    tool: Any = {"type": "function", "function": {"name": "set_unit", "parameters": parameters}}
    choice: Any = {"type": "function", "function": {"name": "set_unit"}}
    asked: Any = {"model": MODEL, "messages": messages("tool_call"), "temperature": 0}
    whole = await client.chat.completions.create(
        **asked, tools=[tool], tool_choice=choice, max_tokens=60
    )
    assert whole.model_extra is not None
    assert whole.model_extra["specserve"] == {"structured": "valid"}
    calls: Any = whole.choices[0].message.tool_calls
    assert json.loads(calls[0].function.arguments)["unit"] in ("celsius", "fahrenheit")


async def test_a_required_call_that_is_cut_off_is_told_in_plain_words(
    client: openai.AsyncOpenAI,
) -> None:
    """vLLM 0.16 answers it with 400 and what pydantic says of half a list."""
    example = held_out("tool_call", 1)[0]
    tools: Any = [dict(tool) for tool in example.tools]
    asked: Any = {
        "model": MODEL,
        "messages": messages("tool_call"),
        "tools": tools,
        "tool_choice": "required",
        "temperature": 0,
    }
    with pytest.raises(openai.BadRequestError) as raised:
        await client.chat.completions.create(**asked, max_tokens=8)
    assert (raised.value.code, raised.value.param) == ("output_cut_off", "max_tokens")

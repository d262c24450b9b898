"""The rest of OpenAI's API before the real engine, and what an answer of it is held to."""

from __future__ import annotations

import json
from typing import Any

import httpx
import openai
import pytest

from tests.engine.conftest import Engine
from tests.engine.test_gateway import (
    SCHEMA,
    client,
    example,
    messages,
    model,
    response_format,
)
from tests.server.waiting import until_async

pytestmark = pytest.mark.anyio
__all__ = ["client", "model"]
FORM: Any = {"format": {"type": "json_schema", "name": "person", "schema": SCHEMA, "strict": True}}


async def test_a_response_and_its_stream(client: openai.AsyncOpenAI, model: str) -> None:
    asked: Any = {"model": model, "input": messages(), "temperature": 0, "max_output_tokens": 60}
    whole = await client.responses.create(**asked)
    events = [event async for event in await client.responses.create(**asked, stream=True)]
    text = "".join(one.delta for one in events if one.type == "response.output_text.delta")
    assert text == whole.output_text
    last = events[-1].response
    assert events[-1].type == "response.completed"
    assert last.output_text == whole.output_text
    assert last.usage.output_tokens == whole.usage.output_tokens
    # vLLM does not count for them.
    details = whole.usage.output_tokens_details.model_dump()
    assert "accepted_prediction_tokens" not in details


async def test_a_response_of_a_form(client: openai.AsyncOpenAI, model: str) -> None:
    asked: Any = {"model": model, "input": messages(), "text": FORM, "max_output_tokens": 100}
    whole = await client.responses.create(**asked, temperature=0)
    assert set(json.loads(whole.output_text)) == {"name", "age"}
    assert whole.model_extra is not None
    assert whole.model_extra["specserve"] == {"structured": "valid"}
    events = [event async for event in await client.responses.create(**asked, stream=True)]
    assert events[-1].response.specserve == {"structured": "valid"}


async def test_a_response_that_calls(client: openai.AsyncOpenAI, model: str) -> None:
    tools: Any = [{"type": "function", **one["function"]} for one in example("tool_call").tools]
    whole = await client.responses.create(
        model=model,
        input=messages("tool_call"),
        tools=tools,
        tool_choice="required",
        temperature=0,
        max_output_tokens=200,
    )
    (call,) = whole.output
    assert call.type == "function_call"
    assert call.name in {tool["name"] for tool in tools}


async def test_a_nonsense_schema_is_told_before_the_engine_drops_the_stream(
    client: openai.AsyncOpenAI, model: str
) -> None:
    nonsense: Any = {"format": {**FORM["format"], "schema": {"type": "nonsense"}}}
    with pytest.raises(openai.BadRequestError) as raised:
        await client.responses.create(model=model, input="hi", text=nonsense, stream=True)
    assert (raised.value.code, raised.value.param) == ("invalid_json_schema", "text.format")


async def test_a_response_too_long(client: openai.AsyncOpenAI, model: str) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        await client.responses.create(model=model, input="one two three " * 2000)
    assert (raised.value.code, raised.value.param) == ("context_length_exceeded", "input")


async def test_tokens_there_and_back(client: openai.AsyncOpenAI, model: str) -> None:
    base = str(client.base_url).removesuffix("/v1/")
    async with httpx.AsyncClient(base_url=base, trust_env=False) as http:
        there = (await http.post("/tokenize", json={"model": model, "prompt": "1, 2, 3"})).json()
        assert there["count"] == len(there["tokens"])
        body = {"model": model, "tokens": there["tokens"]}
        assert (await http.post("/detokenize", json=body)).json() == {"prompt": "1, 2, 3"}


async def test_a_stream_says_that_it_is_valid(client: openai.AsyncOpenAI, model: str) -> None:
    stream = await client.chat.completions.create(
        model=model,
        messages=messages(),
        response_format=response_format(SCHEMA),
        temperature=0,
        max_tokens=200,
        stream=True,
    )
    chunks = [chunk async for chunk in stream]
    assert all(chunk.usage is None for chunk in chunks)
    last = chunks[-1]
    assert last.choices[0].finish_reason == "stop"
    assert last.model_extra is not None
    assert last.model_extra["specserve"] == {"structured": "valid"}


@pytest.mark.parametrize("tokens", [8, 200])
async def test_a_named_tool_is_called_or_said_to_be_cut_off(
    client: openai.AsyncOpenAI, model: str, tokens: int
) -> None:
    tools: Any = [dict(tool) for tool in example("tool_call").tools]
    name = tools[0]["function"]["name"]
    answer = await client.chat.completions.create(
        model=model,
        messages=messages("tool_call"),
        tools=tools,
        tool_choice={"type": "function", "function": {"name": name}},
        temperature=0,
        max_tokens=tokens,
    )
    assert answer.model_extra is not None
    verdict = answer.model_extra["specserve"]["structured"]
    assert verdict == ("valid" if tokens == 200 else "incomplete")


async def test_white_space_without_end_is_ended_and_the_engine_stopped(
    client: openai.AsyncOpenAI, spec_engine: Engine, model: str
) -> None:
    """A prompt on which the bundled pair runs away: its grammar lets it, as others do."""
    stream = await client.completions.create(
        model=model,
        prompt="x",
        temperature=0,
        max_tokens=900,
        extra_body={"structured_outputs": {"json": SCHEMA}},
        stream=True,
        stream_options={"include_usage": True},
    )
    *chunks, usage = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].text for chunk in chunks)
    assert text.endswith(" " * 513)
    assert chunks[-1].choices[0].finish_reason == "length"
    assert chunks[-1].model_extra is not None
    assert chunks[-1].model_extra["specserve"] == {"structured": "incomplete"}
    assert usage.usage is not None
    assert usage.usage.completion_tokens < 400
    async with httpx.AsyncClient(base_url=spec_engine.base_url, trust_env=False) as engine:

        async def idle() -> bool:
            text = (await engine.get("/metrics")).text
            return 'vllm:num_requests_running{engine="0",model_name="local"} 0.0' in text

        await until_async(idle)

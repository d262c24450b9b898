"""Every refusal as a client meets it: 400 with the sentence, and the engine goes on."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.plugin.models import Plain, prompts
from tests.plugin.vllm16.engine import (
    COMPILED_LEN,
    MAX_MODEL_LEN,
    MAX_PROMPT,
    MODEL,
    Engine,
    body,
    client,
    complete_all,
    running,
)

pytestmark = pytest.mark.anyio

LONG = [5] * (MAX_PROMPT + 1)


async def said(engine: Engine, request: dict[str, object], path: str = "/v1/completions") -> str:
    async with client(engine) as upstream:
        response = await upstream.post(path, json=request)
    assert response.status_code == httpx.codes.BAD_REQUEST, response.text
    message: str = response.json()["error"]["message"]
    return message


@pytest.mark.parametrize("stream", [False, True])
async def test_a_prompt_beyond_the_compiled_one(engine: Engine, stream: bool) -> None:
    message = await said(engine, body(LONG, max_tokens=1, stream=stream))
    assert f"prompt has {MAX_PROMPT + 1} tokens" in message
    assert f"compiled for prompts of {MAX_PROMPT}" in message


async def test_a_length_within_k_of_the_end(engine: Engine) -> None:
    # What would fit the compiled length, but not with the drafts of its last step.
    room = COMPILED_LEN - 100
    message = await said(engine, body([5] * 100, max_tokens=room))
    # vLLM's own check comes first and names the length that we gave it.
    assert str(MAX_MODEL_LEN) in message


async def test_prompt_logprobs(engine: Engine) -> None:
    assert "prompt_logprobs is not served" in await said(engine, body([5], prompt_logprobs=1))
    assert "prompt_logprobs is not served" in await said(engine, body([5], echo=True, logprobs=1))


async def test_a_grammar_that_may_not_end(engine: Engine) -> None:
    request = body([5], structured_outputs={"json_object": True}, ignore_eos=True)
    assert "together with ignore_eos is not served" in await said(engine, request)


async def test_a_chat_is_refused_alike(engine: Engine) -> None:
    request = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "1 2 3 4 5 6 7 8 9 " * 200}],
        "max_tokens": 1,
    }
    await said(engine, request, "/v1/chat/completions")


async def test_the_served_length_is_what_the_engine_says_of_itself(engine: Engine) -> None:
    async with client(engine) as upstream:
        (listed,) = (await upstream.get("/v1/models")).json()["data"]
    assert listed["max_model_len"] == MAX_MODEL_LEN


async def test_the_engine_goes_on(engine: Engine, plain: Plain) -> None:
    (prompt,) = prompts(1, "sql")
    (answer,) = await complete_all(engine, [body(prompt)])
    assert plain.explains(prompt, answer.tokens)


@pytest.fixture(scope="module")
def greedy_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with running(tmp_path_factory.mktemp("greedy"), options={"logits": False}) as started:
        yield started


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": 0.7},
        {"logprobs": 1},
        {"frequency_penalty": 0.5},
        {"structured_outputs": {"choice": ["a", "b"]}},
        {"logit_bias": {"5": 1.0}},
    ],
)
async def test_an_engine_without_logits_is_greedy_only(
    greedy_engine: Engine, plain: Plain, fields: dict[str, object]
) -> None:
    message = await said(greedy_engine, body([5, 6, 7], **fields))
    assert "greedy only" in message or "not yet supported with speculative" in message
    (prompt,) = prompts(1, "sql")
    (answer,) = await complete_all(greedy_engine, [body(prompt)])
    assert plain.explains(prompt, answer.tokens)

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from typing import Any

import httpx
import pytest

from neuron.errors import LaunchError
from neuron.stacks.capabilities import Feature
from neuron.startup_check import TOKENS, check_engine

pytestmark = pytest.mark.anyio

Answer = Callable[[dict[str, Any]], httpx.Response]


def answer_with(chosen: float, *, tokens: int = TOKENS) -> httpx.Response:
    top = [{"a": -0.1} for _ in range(tokens)]
    logprobs = {"token_logprobs": [chosen] * tokens, "top_logprobs": top}
    return httpx.Response(200, json={"choices": [{"logprobs": logprobs}]})


async def check(answer: Answer, lacks: Collection[Feature] = ()) -> None:
    def fake_engine(request: httpx.Request) -> httpx.Response:
        return answer(json.loads(request.content))

    transport = httpx.MockTransport(fake_engine)
    async with httpx.AsyncClient(transport=transport, base_url="http://engine") as client:
        await check_engine(client, "local", lacks)


async def test_a_sane_engine_passes_greedy_and_sampled() -> None:
    seen: list[float] = []

    def answer(body: dict[str, Any]) -> httpx.Response:
        seen.append(body["temperature"])
        return answer_with(-0.1)

    await check(answer)
    assert seen == [0.0, 1.0]


async def test_sampled_garbage_is_caught() -> None:
    def answer(body: dict[str, Any]) -> httpx.Response:
        return answer_with(-9.0 if body["temperature"] else -0.1)

    with pytest.raises(LaunchError, match=r"sampled .* sampling is broken"):
        await check(answer)


async def test_a_short_answer_is_caught() -> None:
    with pytest.raises(LaunchError, match="3 tokens instead of 16"):
        await check(lambda _: answer_with(-0.1, tokens=3))


async def test_an_error_is_passed_on_in_one_sentence() -> None:
    with pytest.raises(LaunchError, match="HTTP 500: EngineCore"):
        await check(lambda _: httpx.Response(500, text="EngineCore died"))


async def test_an_engine_that_dies_is_named() -> None:
    def answer(_: dict[str, Any]) -> httpx.Response:
        raise httpx.ReadError("gone")

    with pytest.raises(LaunchError, match=r"greedy .* ReadError"):
        await check(answer)


@pytest.mark.parametrize("body", ["{}", '{"choices": []}', "nonsense"])
async def test_an_answer_that_is_no_completion_is_caught(body: str) -> None:
    with pytest.raises(LaunchError, match="no completion"):
        await check(lambda _: httpx.Response(200, text=body))


async def test_an_answer_without_log_probabilities_is_caught() -> None:
    with pytest.raises(LaunchError, match="log-probabilities"):
        await check(lambda _: httpx.Response(200, json={"choices": [{"text": "x"}]}))


def counted(tokens: int, text: str = " 6") -> httpx.Response:
    usage = {"completion_tokens": tokens}
    return httpx.Response(200, json={"choices": [{"text": text}], "usage": usage})


GREEDY_ONLY: tuple[Feature, ...] = ("sampling", "logprobs")


async def test_an_engine_is_not_asked_for_what_it_lacks() -> None:
    seen: list[dict[str, Any]] = []

    def answer(body: dict[str, Any]) -> httpx.Response:
        seen.append(body)
        return counted(TOKENS)

    await check(answer, GREEDY_ONLY)
    (asked,) = seen
    assert asked["temperature"] == 0
    assert "logprobs" not in asked


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (counted(3), "3 tokens instead of 16"),
        (counted(TOKENS, text=""), "no text"),
        (httpx.Response(200, json={"choices": [{"text": "x"}]}), "no usage"),
    ],
)
async def test_without_logprobs_the_tokens_are_counted(answer: httpx.Response, says: str) -> None:
    with pytest.raises(LaunchError, match=says):
        await check(lambda _: answer, GREEDY_ONLY)

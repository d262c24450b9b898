"""The same text with and without speculation, on the real engine."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from neuron.local.corpus import TASKS, Example, held_out
from tests.engine.conftest import Engine

PROMPTS_PER_TASK = 10
AT_ONCE = 4
MAX_TOKENS = 96
REQUEST_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Answer:
    example: Example
    text: str
    token_ids: tuple[int, ...]
    finish_reason: str
    steps: int
    accepted: int


async def ask(client: httpx.AsyncClient, model: str, example: Example) -> Answer:
    # tool_choice none keeps the answer as text; the prompt still lists the tools.
    tools: dict[str, Any] = {"tools": list(example.tools), "tool_choice": "none"}
    body = {
        "model": model,
        "messages": list(example.messages),
        "temperature": 0,
        "max_tokens": MAX_TOKENS,
        "return_token_ids": True,
        **(tools if example.tools else {}),
    }
    response = await client.post("/v1/chat/completions", json=body)
    assert response.status_code == httpx.codes.OK, response.text
    answer = response.json()
    choice = answer["choices"][0]
    figures = (answer.get("metrics") or {}).get("speculative_decoding") or {}
    return Answer(
        example,
        choice["message"]["content"] or "",
        tuple(choice["token_ids"]),
        choice["finish_reason"],
        figures.get("num_spec_steps", 0),
        figures.get("num_accepted_draft_tokens", 0),
    )


async def answers(engine: Engine) -> list[Answer]:
    places = asyncio.Semaphore(AT_ONCE)
    examples = [e for task in TASKS for e in held_out(task, PROMPTS_PER_TASK)]
    async with httpx.AsyncClient(
        base_url=engine.base_url, timeout=REQUEST_TIMEOUT_S, trust_env=False
    ) as client:

        async def one(example: Example) -> Answer:
            async with places:
                return await ask(client, engine.model, example)

        return await asyncio.gather(*map(one, examples))


@pytest.fixture(scope="module")
def speculative(spec_engine: Engine) -> list[Answer]:
    return asyncio.run(answers(spec_engine))


@pytest.fixture(scope="module")
def plain(plain_engine: Engine) -> list[Answer]:
    return asyncio.run(answers(plain_engine))


def test_greedy_text_is_the_targets_own(speculative: list[Answer], plain: list[Answer]) -> None:
    assert len(plain) == len(speculative) >= 100
    differing = [
        (ours.example.task, ours.text, theirs.text)
        for ours, theirs in zip(speculative, plain, strict=True)
        if ours.token_ids != theirs.token_ids
    ]
    assert differing == []

"""What the bundled pair must be worth on the real engine: right answers, accepted drafts, and the
same text with and without speculation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from statistics import mean
from typing import Any

import httpx
import pytest

from neuron.local.corpus import CONTROLS, STRUCTURED, TASKS, Example, Outcome, held_out
from tests.engine.conftest import Engine

PROMPTS_PER_TASK = 12
AT_ONCE = 4
MAX_TOKENS = 320
REQUEST_TIMEOUT_S = 120.0
# The model card has the figures over more prompts; with this few, one answer is 1 %.
MIN_VALID, MIN_EXACT, MIN_ACCEPTANCE_LENGTH = 0.96, 0.80, 4.7
COPYING = ("json_extract", "tool_call", "csv_to_json")


@dataclass(frozen=True)
class Answer:
    example: Example
    text: str
    token_ids: tuple[int, ...]
    finish_reason: str
    steps: int
    accepted: int

    @property
    def outcome(self) -> Outcome:
        return TASKS[self.example.task].check(self.example, self.text)

    @property
    def acceptance_length(self) -> float:
        return 1 + self.accepted / self.steps


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


def share(of: list[Answer], what: Callable[[Answer], bool]) -> float:
    return mean(what(answer) for answer in of)


def reasons(of: list[Answer]) -> str:
    return "\n".join(
        f"{a.example.task}: {a.outcome.reason}\n{a.text}" for a in of if a.outcome.reason
    )


def test_structured_answers_are_valid(speculative: list[Answer]) -> None:
    structured = [a for a in speculative if a.example.task in STRUCTURED]
    assert share(structured, lambda a: a.outcome.valid) >= MIN_VALID, reasons(structured)
    assert {a.finish_reason for a in structured} == {"stop"}


@pytest.mark.parametrize("task", COPYING)
def test_values_are_copied_right(speculative: list[Answer], task: str) -> None:
    mine = [a for a in speculative if a.example.task == task]
    assert share(mine, lambda a: a.outcome.exact) >= MIN_EXACT, reasons(mine)


def test_drafts_are_accepted_where_text_is_predictable(speculative: list[Answer]) -> None:
    structured = [a for a in speculative if a.example.task in STRUCTURED]
    assert mean(a.acceptance_length for a in structured) >= MIN_ACCEPTANCE_LENGTH


@pytest.mark.parametrize("task", CONTROLS)
def test_drafts_are_mostly_refused_where_it_is_not(speculative: list[Answer], task: str) -> None:
    mine = [a for a in speculative if a.example.task == task and a.steps]
    assert mean(a.acceptance_length for a in mine) < 3


def test_greedy_text_is_the_targets_own(speculative: list[Answer], plain: list[Answer]) -> None:
    assert len(plain) == len(speculative) >= 100
    differing = [
        (ours.example.task, ours.text, theirs.text)
        for ours, theirs in zip(speculative, plain, strict=True)
        if ours.token_ids != theirs.token_ids
    ]
    assert differing == []

"""What the bundled pair must be worth on the real engine: right answers, accepted drafts, and the
same text with and without speculation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx
import pytest

from neuron.local.corpus import CONTROLS, STRUCTURED, TASKS, Example, held_out
from neuron.local.quality import Answer, acceptance_length, ask_all
from tests.engine.conftest import Engine

PROMPTS_PER_TASK = 12
MIN_VALID, MIN_EXACT, MIN_ACCEPTANCE_LENGTH = 0.98, 0.85, 5.0
COPYING = ("json_extract", "tool_call", "csv_to_json")
# With a dozen prompts, a share of 0.89 would fail every second time.
COPYING_PROMPTS = 100
MAX_CONTROL_LENGTH = 2.5


def answers(engine: Engine, examples: list[Example], temperature: float = 0.0) -> list[Answer]:
    async def run() -> list[Answer]:
        async with httpx.AsyncClient(base_url=engine.base_url, trust_env=False) as client:
            return await ask_all(client, engine.model, examples, temperature=temperature)

    return asyncio.run(run())


def some_of_each() -> list[Example]:
    return [e for task in TASKS for e in held_out(task, PROMPTS_PER_TASK)]


@pytest.fixture(scope="module")
def speculative(spec_engine: Engine) -> list[Answer]:
    return answers(spec_engine, some_of_each())


@pytest.fixture(scope="module")
def plain(plain_engine: Engine) -> list[Answer]:
    return answers(plain_engine, some_of_each())


def structured(of: list[Answer]) -> list[Answer]:
    return [answer for answer in of if answer.example.task in STRUCTURED]


def share(of: list[Answer], what: Callable[[Answer], bool]) -> float:
    return sum(map(what, of)) / len(of)


def wrong(of: list[Answer]) -> str:
    return "\n".join(
        f"{a.example.task}: {a.outcome.reason}\n{a.text}" for a in of if not a.outcome.exact
    )


def test_structured_answers_are_valid(speculative: list[Answer]) -> None:
    mine = structured(speculative)
    assert share(mine, lambda a: a.outcome.valid) >= MIN_VALID, wrong(mine)


@pytest.mark.parametrize("task", COPYING)
def test_values_are_copied_right(spec_engine: Engine, task: str) -> None:
    mine = answers(spec_engine, held_out(task, COPYING_PROMPTS))
    assert share(mine, lambda a: a.outcome.exact) >= MIN_EXACT, wrong(mine)


def test_drafts_are_accepted_where_text_is_predictable(speculative: list[Answer]) -> None:
    length = acceptance_length(structured(speculative))
    assert length is not None
    assert length >= MIN_ACCEPTANCE_LENGTH


@pytest.mark.parametrize("task", CONTROLS)
def test_drafts_are_mostly_refused_where_it_is_not(spec_engine: Engine, task: str) -> None:
    """Sampled: the likeliest hex digits are a loop, which any draft can follow."""
    mine = answers(spec_engine, held_out(task, PROMPTS_PER_TASK), temperature=1.0)
    length = acceptance_length(mine)
    assert length is not None
    assert 1 <= length < MAX_CONTROL_LENGTH


def test_greedy_text_is_the_targets_own(speculative: list[Answer], plain: list[Answer]) -> None:
    assert len(plain) == len(speculative) >= 100
    differing = [
        (ours.example.task, ours.text, theirs.text)
        for ours, theirs in zip(speculative, plain, strict=True)
        if ours.token_ids != theirs.token_ids
    ]
    assert differing == []

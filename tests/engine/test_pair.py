"""What the bundled pair must be worth on the real engine: right answers, accepted drafts, and the
same text with and without speculation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx
import pytest

from neuron.local.corpus import CONTROLS, STRUCTURED, TASKS, held_out
from neuron.local.quality import Answer, acceptance_length, ask_all
from tests.engine.conftest import Engine

PROMPTS_PER_TASK = 12
MIN_VALID, MIN_EXACT, MIN_ACCEPTANCE_LENGTH = 0.98, 0.85, 5.0
COPYING = ("json_extract", "tool_call", "csv_to_json")
# Whole words of the made-up language can be guessed once they have begun, hex digits cannot.
MAX_CONTROL_LENGTH = 3.7


def answers(engine: Engine) -> list[Answer]:
    examples = [e for task in TASKS for e in held_out(task, PROMPTS_PER_TASK)]

    async def run() -> list[Answer]:
        async with httpx.AsyncClient(base_url=engine.base_url, trust_env=False) as client:
            return await ask_all(client, engine.model, examples)

    return asyncio.run(run())


@pytest.fixture(scope="module")
def speculative(spec_engine: Engine) -> list[Answer]:
    return answers(spec_engine)


@pytest.fixture(scope="module")
def plain(plain_engine: Engine) -> list[Answer]:
    return answers(plain_engine)


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
def test_values_are_copied_right(speculative: list[Answer], task: str) -> None:
    mine = [a for a in speculative if a.example.task == task]
    assert share(mine, lambda a: a.outcome.exact) >= MIN_EXACT, wrong(mine)


def test_drafts_are_accepted_where_text_is_predictable(speculative: list[Answer]) -> None:
    length = acceptance_length(structured(speculative))
    assert length is not None
    assert length >= MIN_ACCEPTANCE_LENGTH


@pytest.mark.parametrize("task", CONTROLS)
def test_drafts_are_mostly_refused_where_it_is_not(speculative: list[Answer], task: str) -> None:
    length = acceptance_length([a for a in speculative if a.example.task == task])
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

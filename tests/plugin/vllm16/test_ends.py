"""Where an answer ends: stop strings and tokens, limits, the last position, a killed engine."""

from __future__ import annotations

import asyncio
import os
import signal

import httpx
import pytest

from tests.plugin.models import Plain, prompts
from tests.plugin.vllm16.engine import (
    MAX_MODEL_LEN,
    MAX_PROMPT,
    SLOTS,
    Engine,
    body,
    complete_all,
    running,
)

pytestmark = pytest.mark.anyio


async def test_more_requests_than_slots_are_all_served(engine: Engine, plain: Plain) -> None:
    chosen = prompts(4 * SLOTS, "json_record")
    answers = await complete_all(
        engine, [body(prompt, max_tokens=24) for prompt in chosen], at_once=len(chosen)
    )
    pairs = zip(chosen, answers, strict=True)
    assert all(plain.explains(prompt, answer.tokens) for prompt, answer in pairs)


async def test_a_stop_string_inside_a_step(engine: Engine) -> None:
    (prompt,) = prompts(1, "json_extract")
    (whole,) = await complete_all(engine, [body(prompt, ignore_eos=True)])
    for start in (3, 7, 12):
        stop = whole.text[start : start + 3]
        (cut,) = await complete_all(engine, [body(prompt, ignore_eos=True, stop=[stop])])
        assert cut.text == whole.text[: whole.text.index(stop)]
        assert cut.finish_reason == "stop"
        assert cut.stop_reason == stop


async def test_a_stop_token_inside_a_step(engine: Engine) -> None:
    (prompt,) = prompts(1, "sql")
    (whole,) = await complete_all(engine, [body(prompt, ignore_eos=True)])
    for place in (2, 5, 9):
        token = whole.tokens[place]
        (cut,) = await complete_all(engine, [body(prompt, ignore_eos=True, stop_token_ids=[token])])
        assert cut.tokens == whole.tokens[: whole.tokens.index(token) + 1]


@pytest.mark.parametrize("count", [1, 2, 5, 6, 7, 13])
async def test_exactly_as_many_tokens_as_asked_for(
    engine: Engine, plain: Plain, count: int
) -> None:
    (prompt,) = prompts(1, "k8s_yaml")
    (answer,) = await complete_all(engine, [body(prompt, max_tokens=count, ignore_eos=True)])
    assert len(answer.tokens) == count
    assert answer.finish_reason == "length"
    assert plain.explains(prompt, answer.tokens)


@pytest.mark.parametrize("short_of_the_end", range(7))
async def test_up_to_the_last_position(engine: Engine, plain: Plain, short_of_the_end: int) -> None:
    (prompt,) = prompts(1, "prose")
    prompt = (prompt * 40)[: MAX_PROMPT - short_of_the_end]
    room = MAX_MODEL_LEN - len(prompt)
    # Four at once, so that the ends meet in one batch with sequences that have room.
    requests = [body(prompt[i:], max_tokens=room, ignore_eos=True) for i in range(4)]
    answers = await complete_all(engine, requests)
    for i, answer in enumerate(answers):
        assert len(answer.tokens) == room
        assert answer.finish_reason == "length"
        assert plain.explains(prompt[i:], answer.tokens)


async def test_an_engine_that_was_killed_starts_again_and_says_the_same(
    engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> None:
    chosen = prompts(4, "tool_call")
    requests = [body(prompt) for prompt in chosen]
    before = await complete_all(engine, requests)
    long = [body(prompt, max_tokens=400, ignore_eos=True) for prompt in chosen]
    with running(tmp_path_factory.mktemp("killed")) as first:
        doomed = asyncio.create_task(complete_all(first, long))
        await asyncio.sleep(0.5)
        os.killpg(first.pid, signal.SIGKILL)
        with pytest.raises((httpx.TransportError, AssertionError)):
            await doomed
    with running(tmp_path_factory.mktemp("again")) as second:
        assert await complete_all(second, requests) == before

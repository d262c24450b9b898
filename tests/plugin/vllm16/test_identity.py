"""Greedy output through the whole engine is plain greedy generation, whatever happens beside it."""

from __future__ import annotations

import asyncio
from random import Random

import httpx
import pytest

from neuron.local.corpus import TASKS
from tests.plugin.models import Plain, prompts
from tests.plugin.vllm16.engine import (
    MAX_PROMPT,
    SLOTS,
    Engine,
    body,
    client,
    complete,
)

pytestmark = pytest.mark.anyio

PER_TASK = 20
ABORTS = 60


def all_prompts() -> list[list[int]]:
    found = [prompt for task in TASKS for prompt in prompts(PER_TASK, task)]
    Random(0).shuffle(found)
    return [prompt for prompt in found if len(prompt) <= MAX_PROMPT]


async def leave_early(upstream: httpx.AsyncClient, prompt: list[int], random: Random) -> None:
    """Goes away while waiting, at the first token, or after some chunks."""
    request = body(prompt, stream=True, max_tokens=100, ignore_eos=True)
    patience, chunks = random.choice([0.005, 0.05, 0.5, 5.0]), random.randint(0, 8)
    try:
        async with asyncio.timeout(patience):
            async with upstream.stream("POST", "/v1/completions", json=request) as response:
                async for _ in response.aiter_lines():
                    chunks -= 1
                    if chunks < 0:
                        return
    except TimeoutError:
        return


async def settle(engine: Engine) -> None:
    for _ in range(100):
        if (
            engine.metric("vllm:num_requests_running") + engine.metric("vllm:num_requests_waiting")
            == 0
        ):
            return
        await asyncio.sleep(0.1)
    pytest.fail("the engine still has requests although everyone has left")


async def test_two_hundred_prompts_while_others_come_and_leave(
    engine: Engine, plain: Plain
) -> None:
    chosen, random = all_prompts(), Random(1)
    assert len(chosen) >= 200
    gate = asyncio.Semaphore(2 * SLOTS)
    wrong = []

    async with client(engine) as upstream:

        async def stay(prompt: list[int]) -> None:
            async with gate:
                answer = await complete(upstream, body(prompt, max_tokens=random.randint(1, 64)))
            if not plain.explains(prompt, answer.tokens):
                wrong.append(prompt)

        async def leave(prompt: list[int]) -> None:
            async with gate:
                await leave_early(upstream, prompt, random)

        going = [stay(prompt) for prompt in chosen]
        going += [leave(random.choice(chosen)) for _ in range(ABORTS)]
        random.shuffle(going)
        await asyncio.gather(*going)
    await settle(engine)

    assert wrong == []
    assert engine.metric("vllm:num_preemptions_total") == 0
    assert engine.metric("vllm:kv_cache_usage_perc") == 0

"""Two real engines of the bundled pair in two pools, under the command `server`.

Not collected by itself, since two engines at once need a machine for themselves:
`make test-pools`.
"""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import openai
import pytest

from neuron.local.corpus import held_out
from tests.server.test_command import Served, exit_code, server

pytestmark = pytest.mark.anyio
START_S = 300.0
REPLICAS = "".join(
    f'[[replicas]]\nname = "{pool}"\npool = "{pool}"\npair = "local"\n'
    for pool in ("speculative", "plain")
)
SCHEMA: dict[str, Any] = {
    "type": "json_schema",
    "json_schema": {"name": "n", "schema": {"type": "integer", "minimum": 0, "maximum": 9}},
}


@asynccontextmanager
async def both(folder: Path) -> AsyncIterator[tuple[Served, openai.AsyncOpenAI]]:
    file = folder / "gateway.toml"
    file.write_text(f'log_dir = "{folder}"\n{REPLICAS}')
    with server("--config", str(file)) as running:
        await until_ready(running.url, "speculative", "plain")
        async with openai.AsyncOpenAI(
            base_url=f"{running.url}/v1", api_key="x", max_retries=0, timeout=120
        ) as client:
            yield running, client
        running.process.send_signal(signal.SIGTERM)
        assert await exit_code(running.process) == 0


async def until_ready(url: str, *pools: str) -> None:
    async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
        with anyio.fail_after(START_S):
            while not all([await _ready(http, pool) for pool in pools]):  # noqa: ASYNC110
                await anyio.sleep(0.2)


async def _ready(http: httpx.AsyncClient, pool: str) -> bool:
    described = (await http.get("/health/ready")).json()["pools"]
    return bool(described[pool]["ready"])


async def test_two_pools_of_one_target(tmp_path: Path) -> None:
    async with both(tmp_path) as (running, client):
        await _same_answer_from_both(client)
        await _what_speculation_lacks(client)
        await _one_engine_killed(running, client)


async def ask(client: openai.AsyncOpenAI, **more: Any) -> tuple[str, str]:  # noqa: ANN401
    """The pool and the text."""
    messages: Any = [dict(message) for message in held_out("json_extract", 1)[0].messages]
    asked = {"temperature": 0, "max_tokens": 60, **more}
    raw = await client.chat.completions.with_raw_response.create(
        model="local", messages=messages, **asked
    )
    text = raw.parse().choices[0].message.content or ""
    return raw.headers["x-specserve-pool"], text


async def _same_answer_from_both(client: openai.AsyncOpenAI) -> None:
    texts = {}
    for mode, pool in (("on", "speculative"), ("off", "plain")):
        served, texts[pool] = await ask(client, extra_body={"speculation": mode})
        assert served == pool
    assert texts["speculative"] == texts["plain"]


LACKED: tuple[dict[str, Any], ...] = ({"min_p": 0.1}, {"logit_bias": {"5": 1.0}})
SERVED: tuple[dict[str, Any], ...] = (
    {"seed": 1, "temperature": 0.7},
    {"presence_penalty": 0.5},
    {"logprobs": True, "top_logprobs": 2},
    {"response_format": SCHEMA},
    {"min_tokens": 5},
    {"bad_words": ["x"]},
    {"prompt_logprobs": 1},
    {"response_format": SCHEMA, "ignore_eos": True},
)
"""With drafts too: not lacking on the stack cpu."""


async def _what_speculation_lacks(client: openai.AsyncOpenAI) -> None:
    for field in LACKED:
        pool, _ = await ask(client, extra_body=field)
        assert pool == "plain"
        with pytest.raises(openai.BadRequestError) as refused:
            await ask(client, extra_body={**field, "speculation": "on"})
        assert refused.value.param == next(iter(field))
    for field in SERVED:
        pool, text = await ask(client, extra_body={**field, "speculation": "on"})
        assert pool == "speculative", field
        assert text, field


async def _one_engine_killed(running: Served, client: openai.AsyncOpenAI) -> None:
    """Requests go on at the other while it comes back."""
    (keeper,) = [pid for pid in _children(running.process.pid) if "speculative" in _files(pid)]
    os.killpg(keeper, signal.SIGKILL)
    for _ in range(5):
        pool, text = await ask(client)
        assert pool == "plain"
        assert text
    await until_ready(running.url, "speculative")
    assert (await ask(client, extra_body={"speculation": "on"}))[0] == "speculative"


def _children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _files(pid: int) -> str:
    """The log that a child writes."""
    return str(Path(f"/proc/{pid}/fd/1").readlink())

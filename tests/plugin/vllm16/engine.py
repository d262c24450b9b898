"""vLLM 0.16's API server over the fused torch model, as a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from neuron.plugin.activation import VARIABLE
from neuron.plugin.terms import ADAPTIVE, OPTIONS
from tests.engine.conftest import free_port, stop, wait_until_healthy
from tests.plugin.models import DRAFT, TARGET
from tests.plugin.vllm16 import recording

ROOT = Path(__file__).resolve().parents[3]
REQUEST_TIMEOUT_S = 120.0
MODEL = "local"
K = 5
SLOTS = 4
COMPILED_LEN = 768
MAX_MODEL_LEN = COMPILED_LEN - K
MAX_PROMPT = 600
STRUCTURED = {"backend": "xgrammar", "disable_any_whitespace": True}


@dataclass(frozen=True)
class Engine:
    base_url: str
    pid: int
    calls: Path
    """What the model was asked: tests.plugin.vllm16.recording."""

    def metric(self, name: str, **labels: str) -> float:
        """The sum over what matches, 0 if nothing does."""
        text = httpx.get(f"{self.base_url}/metrics", trust_env=False).text
        total = 0.0
        for line in text.splitlines():
            found = re.match(rf"{re.escape(name)}(?:{{(.*)}})? (\S+)$", line)
            if found and all(
                f'{key}="{value}"' in (found[1] or "") for key, value in labels.items()
            ):
                total += float(found[2])
        return total

    def spec_decode(self) -> dict[str, float]:
        prefix = "vllm:spec_decode_num_"
        counters = {
            name: self.metric(f"{prefix}{name}_total")
            for name in ("drafts", "draft_tokens", "accepted_tokens")
        }
        for position in range(K):
            counters[f"position {position}"] = self.metric(
                f"{prefix}accepted_tokens_per_pos_total", position=str(position)
            )
        return counters


@dataclass(frozen=True)
class Answer:
    text: str
    tokens: tuple[int, ...]
    finish_reason: str
    stop_reason: int | str | None
    logprobs: Mapping[str, Any] | None
    speculation: Mapping[str, Any] | None = field(default=None, compare=False)
    """The engine's account of it; None where it gives none."""


@contextmanager
def running(
    folder: Path, *, options: Mapping[str, object] | None = None, adaptive: bool = False
) -> Iterator[Engine]:
    port, calls, log = free_port(), folder / "calls.jsonl", folder / "engine.log"
    speculation = {"method": "draft_model", "model": str(DRAFT), "num_speculative_tokens": K}
    fused = {"max_prompt_len": MAX_PROMPT, **(options or {}), "recording": str(calls)}
    argv = [
        *(sys.executable, "-m", "vllm.entrypoints.openai.api_server"),
        *("--model", str(TARGET), "--served-model-name", MODEL),
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--dtype", "float32", "--enforce-eager"),
        *("--max-model-len", str(COMPILED_LEN), "--max-num-seqs", str(SLOTS)),
        *("--enable-auto-tool-choice", "--tool-call-parser", "hermes"),
        # Else a weak model may write spaces up to the token limit, where the grammar lets it.
        *("--structured-outputs-config", json.dumps(STRUCTURED)),
        *("--speculative-config", json.dumps(speculation)),
        *("--additional-config", json.dumps({OPTIONS: fused, ADAPTIVE: adaptive})),
    ]
    environment = {**os.environ, VARIABLE: recording.BUILD, "PYTHONPATH": str(ROOT)}
    with log.open("wb") as sink:
        process = subprocess.Popen(
            argv,
            env=environment,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    base_url = f"http://127.0.0.1:{port}"
    try:
        wait_until_healthy(base_url, process, log)
        yield Engine(base_url, process.pid, calls)
    finally:
        stop(process)


def client(engine: Engine) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=engine.base_url, timeout=REQUEST_TIMEOUT_S, trust_env=False)


def body(prompt: Sequence[int], **fields: object) -> dict[str, object]:
    return {
        "model": MODEL,
        "prompt": list(prompt),
        "temperature": 0.0,
        "max_tokens": 48,
        "return_token_ids": True,
        **fields,
    }


async def complete(upstream: httpx.AsyncClient, request: Mapping[str, object]) -> Answer:
    response = await upstream.post("/v1/completions", json=request)
    assert response.status_code == httpx.codes.OK, response.text
    document = response.json()
    choice = document["choices"][0]
    return Answer(
        text=choice["text"],
        tokens=tuple(choice["token_ids"]),
        finish_reason=choice["finish_reason"],
        stop_reason=choice["stop_reason"],
        logprobs=choice["logprobs"],
        speculation=document.get("metrics", {}).get("speculative_decoding"),
    )


async def complete_all(
    engine: Engine, requests: Sequence[Mapping[str, object]], *, at_once: int = 8
) -> list[Answer]:
    gate = asyncio.Semaphore(at_once)
    async with client(engine) as upstream:

        async def one(request: Mapping[str, object]) -> Answer:
            async with gate:
                return await complete(upstream, request)

        return list(await asyncio.gather(*(one(request) for request in requests)))

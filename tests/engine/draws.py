"""Sampled tokens from a running engine, and what its target gives them by transformers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

REQUEST_TIMEOUT_S = 300.0
BATCH = 50
Message = Mapping[str, str]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Draw:
    text: str
    prompt: tuple[int, ...]
    tokens: tuple[int, ...]
    steps: int
    """Speculative steps; 0 where the engine is plain or the first token was the last."""
    accepted: int
    top: tuple[frozenset[str], ...]
    """Per token, the likeliest ones asked for with top_logprobs."""
    chosen: tuple[str, ...]


def _draw(answer: dict[str, Any]) -> Draw:
    choice = answer["choices"][0]
    spec = (answer.get("metrics") or {}).get("speculative_decoding") or {}
    listed = (choice.get("logprobs") or {}).get("content") or []
    return Draw(
        text=choice["message"]["content"] or "",
        prompt=tuple(answer["prompt_token_ids"]),
        tokens=tuple(choice["token_ids"]),
        steps=spec.get("num_spec_steps", 0),
        accepted=spec.get("num_accepted_draft_tokens", 0),
        top=tuple(frozenset(top["token"] for top in item["top_logprobs"]) for item in listed),
        chosen=tuple(item["token"] for item in listed),
    )


async def draw_many(
    base_url: str, model: str, bodies: Sequence[Mapping[str, Any]], *, at_once: int
) -> list[Draw]:
    gate = asyncio.Semaphore(at_once)
    async with httpx.AsyncClient(
        base_url=base_url, timeout=REQUEST_TIMEOUT_S, trust_env=False
    ) as client:

        async def one(body: Mapping[str, Any]) -> Draw:
            async with gate:
                full = {"model": model, "return_token_ids": True, **body}
                response = await client.post("/v1/chat/completions", json=full)
            response.raise_for_status()
            return _draw(response.json())

        return await asyncio.gather(*(one(body) for body in bodies))


def target_logits(target: Path, draws: Sequence[Draw]) -> Floats:
    """What the target gives each token of each draw: [draws, tokens, vocabulary].

    The draws answer one prompt and are of one length.
    """
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(target, dtype=torch.float32).eval()
    ids = torch.tensor([[*draw.prompt, *draw.tokens[:-1]] for draw in draws])
    start = len(draws[0].prompt) - 1
    with torch.inference_mode():
        parts = [model(batch).logits[:, start:].double() for batch in ids.split(BATCH)]
    result: Floats = torch.cat(parts).numpy()
    return result


def softmax(logits: Floats, temperature: float) -> Floats:
    scaled = (logits - logits.max(axis=-1, keepdims=True)) / temperature
    weights = np.exp(scaled)
    result: Floats = weights / weights.sum(axis=-1, keepdims=True)
    return result


def percentiles(draws: Sequence[Draw], probabilities: Floats, rng: np.random.Generator) -> Floats:
    """The randomised probability integral transform of each token: [draws, tokens].

    A token is given a uniform number within its own share of [0, 1], shares laid out from the
    likeliest token on. If the tokens come from those probabilities, the numbers are uniform at
    every position, whatever came before; so one test covers drafts accepted, drafts replaced and
    the bonus alike, with no need of the same prefix twice.
    """
    tokens = np.array([draw.tokens for draw in draws])[..., None]
    own = np.take_along_axis(probabilities, tokens, axis=-1)
    below = np.where(probabilities > own, probabilities, 0.0).sum(axis=-1)
    result: Floats = below + rng.random(below.shape) * own[..., 0]
    return result

"""Is the engine behind this client right, not only up?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError

from neuron.errors import LaunchError

REQUEST_TIMEOUT_S = 60.0
TOKENS = 16
PROMPT = "1, 2, 3, 4, 5,"
# Two logits that tie in bfloat16 may be sampled in either order; garbage is nats away.
TIE_NATS = 0.05


class _Logprobs(BaseModel):
    model_config = ConfigDict(extra="ignore")

    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]


class _Choice(BaseModel):
    model_config = ConfigDict(extra="ignore")

    logprobs: _Logprobs


class _Completion(BaseModel):
    model_config = ConfigDict(extra="ignore")

    choices: list[_Choice]


async def check_engine(client: httpx.AsyncClient, model: str) -> None:
    """Sends one greedy and one sampled request. Raises LaunchError in one sentence.

    With top_k = 1 a sampled token must be the likeliest one, so the sampled path can be
    checked exactly. An engine without neuron.cpu_sampling answers garbage here, or dies.
    """
    for kind, sampling in (
        ("greedy", {"temperature": 0.0}),
        ("sampled", {"temperature": 1.0, "top_k": 1}),
    ):
        logprobs = await _complete(client, model, kind, sampling)
        _require_likeliest(kind, logprobs)


async def _complete(
    client: httpx.AsyncClient, model: str, kind: str, sampling: dict[str, Any]
) -> _Logprobs:
    body = {
        "model": model,
        "prompt": PROMPT,
        "max_tokens": TOKENS,
        "ignore_eos": True,
        "logprobs": 1,
        **sampling,
    }
    try:
        response = await client.post("/v1/completions", json=body, timeout=REQUEST_TIMEOUT_S)
    except httpx.HTTPError as error:
        raise LaunchError(
            f"The engine did not survive its {kind} start-up request: {type(error).__name__}."
        ) from error
    if response.status_code != httpx.codes.OK:
        raise LaunchError(
            f"The engine answered its {kind} start-up request with HTTP {response.status_code}: "
            f"{response.text[:300]}"
        )
    try:
        return _Completion.model_validate_json(response.content).choices[0].logprobs
    except (ValidationError, IndexError) as error:
        raise LaunchError(
            f"The engine's answer to its {kind} start-up request has no log-probabilities."
        ) from error


def _require_likeliest(kind: str, logprobs: _Logprobs) -> None:
    if len(logprobs.token_logprobs) != TOKENS:
        raise LaunchError(
            f"The engine answered its {kind} start-up request with "
            f"{len(logprobs.token_logprobs)} tokens instead of {TOKENS}."
        )
    wrong = _unlikely(logprobs.token_logprobs, logprobs.top_logprobs)
    if wrong:
        raise LaunchError(
            f"The engine's {kind} start-up request returned {wrong} of {TOKENS} tokens that its "
            "own target does not put first: its sampling is broken (is the package installed, "
            "so that vLLM finds the plugin specserve_cpu_sampling?)."
        )


def _unlikely(chosen: Sequence[float], top: Sequence[dict[str, float]]) -> int:
    pairs = zip(chosen, top, strict=True)
    return sum(value < max(best.values()) - TIE_NATS for value, best in pairs)

"""Is the engine behind this client right, not only up?"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Annotated, Any

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from neuron.errors import LaunchError
from neuron.stacks.capabilities import Feature

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

    text: str = ""
    logprobs: _Logprobs | None = None


class _Usage(BaseModel):
    model_config = ConfigDict(extra="ignore")

    completion_tokens: int


class _Completion(BaseModel):
    model_config = ConfigDict(extra="ignore")

    choices: Annotated[list[_Choice], Field(min_length=1)]
    usage: _Usage | None = None


async def check_engine(
    client: httpx.AsyncClient, model: str, lacks: Collection[Feature] = ()
) -> None:
    """Sends one greedy and one sampled request. Raises LaunchError in one sentence.

    With top_k = 1 a sampled token must be the likeliest one, so the sampled path can be
    checked exactly. An engine without neuron.cpu_sampling answers garbage here, or dies.
    What the engine `lacks` is not asked of it: without logprobs the tokens are only counted.
    """
    logprobs = {} if "logprobs" in lacks else {"logprobs": 1}
    kinds: dict[str, dict[str, Any]] = {"greedy": {"temperature": 0.0}}
    if "sampling" not in lacks:
        kinds["sampled"] = {"temperature": 1.0, "top_k": 1}
    for kind, sampling in kinds.items():
        completion = await _complete(client, model, kind, sampling | logprobs)
        if logprobs:
            _require_likeliest(kind, completion)
        else:
            _require_tokens(kind, completion)


async def _complete(
    client: httpx.AsyncClient, model: str, kind: str, sampling: dict[str, Any]
) -> _Completion:
    body = {
        "model": model,
        "prompt": PROMPT,
        "max_tokens": TOKENS,
        "ignore_eos": True,
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
        return _Completion.model_validate_json(response.content)
    except ValidationError as error:
        raise LaunchError(
            f"The engine's answer to its {kind} start-up request is no completion."
        ) from error


def _require_tokens(kind: str, completion: _Completion) -> None:
    if completion.usage is None or not completion.choices[0].text:
        raise LaunchError(
            f"The engine's answer to its {kind} start-up request has no text or no usage."
        )
    _require_count(kind, completion.usage.completion_tokens)


def _require_count(kind: str, tokens: int) -> None:
    if tokens != TOKENS:
        raise LaunchError(
            f"The engine answered its {kind} start-up request with {tokens} tokens instead of "
            f"{TOKENS}."
        )


def _require_likeliest(kind: str, completion: _Completion) -> None:
    logprobs = completion.choices[0].logprobs
    if logprobs is None:
        raise LaunchError(
            f"The engine's answer to its {kind} start-up request has no log-probabilities."
        )
    _require_count(kind, len(logprobs.token_logprobs))
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

"""Prompts as tokens: taken once from the engine's own chat template and sent to both arms."""

from collections.abc import Sequence
from dataclasses import dataclass

import httpx

from bench.client import Target
from bench.errors import EngineFailedError
from bench.record import Prompt, Settings
from bench.workloads import Workload
from neuron.local.corpus import Example

RENDER_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Item:
    """A prompt as both arms will get it, with what judges the answer."""

    workload: Workload
    index: int
    example: Example
    tokens: tuple[int, ...]
    temperature: float

    def fact(self) -> Prompt:
        return Prompt(
            workload=self.workload.name,
            index=self.index,
            structured=self.workload.structured,
            token_ids=self.tokens,
            phrasing=self.example.phrasing,
            answer=self.example.answer,
            temperature=self.temperature,
        )


async def render_prompts(
    target: Target, workloads: Sequence[Workload], settings: Settings
) -> list[Item]:
    async with httpx.AsyncClient(
        base_url=target.base_url, timeout=RENDER_TIMEOUT_S, trust_env=False
    ) as http:
        return [
            Item(
                workload,
                index,
                example,
                await _tokenise(http, target, example),
                workload.temperature if settings.temperature is None else settings.temperature,
            )
            for workload in workloads
            for index, example in enumerate(workload.examples(settings.prompts, settings.seed))
        ]


async def _tokenise(http: httpx.AsyncClient, target: Target, example: Example) -> tuple[int, ...]:
    body = {"model": target.model, "messages": list(example.messages)}
    if example.tools:
        body["tools"] = list(example.tools)
    try:
        answer = await http.post("/tokenize", json=body, headers=dict(target.headers))
        answer.raise_for_status()
        return tuple(answer.json()["tokens"])
    except (httpx.HTTPError, ValueError, KeyError) as error:
        raise EngineFailedError(
            f"The {target.arm} engine at {target.base_url} did not turn a chat into tokens at "
            f"/tokenize ({error}); the bench needs a vLLM engine there, not a gateway"
            f"{target.see_log}."
        ) from error

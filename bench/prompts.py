"""Prompts as tokens: taken once from the engine's own chat template and sent to both arms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from bench.client import Target
from bench.errors import EngineFailedError, UsageProblemError
from bench.record import Prompt, Settings
from bench.workloads import Workload, choose, digest, from_file
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
    max_tokens: int

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


def workloads_of(settings: Settings) -> tuple[Workload, ...]:
    """Reads the user's files again. Raises UsageProblemError if one is another by now."""
    for one in settings.files:
        if digest(Path(one.path)) != one.sha256:
            raise UsageProblemError(
                f"--workload-file {one.path} has changed since these settings were made: begin "
                "another run."
            )
    own = [from_file(Path(one.path)) for one in settings.files]
    return choose(settings.workloads, settings.profile, own)


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
                await _tokenise(http, target, example, workload.template_of(example)),
                workload.temperature_of(example)
                if settings.temperature is None
                else settings.temperature,
                workload.max_tokens_of(example, settings.max_tokens),
            )
            for workload in workloads
            for index, example in enumerate(workload.examples(settings.prompts, settings.seed))
        ]


async def _tokenise(
    http: httpx.AsyncClient, target: Target, example: Example, template: Mapping[str, Any]
) -> tuple[int, ...]:
    body: dict[str, Any] = {"model": target.model, "messages": list(example.messages)}
    if template:
        body["chat_template_kwargs"] = dict(template)
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

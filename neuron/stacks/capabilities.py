"""What an engine can do, as data: `neuron check` reads it, and so may a gateway."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from neuron.evidence import Source

Feature = Literal[
    "speculation",
    "sampling",
    "grammar",
    "grammar_past_eos",
    "logprobs",
    "prompt_logprobs",
    "penalties",
    "seed",
    "min_p",
    "logit_bias",
    "token_limits",
    "prefix_caching",
    "chunked_prefill",
    "lora",
    "spec_metrics",
]
"""grammar_past_eos: a grammar together with ignore_eos. token_limits: tokens allowed or banned, and
a least number of them."""
FEATURES: tuple[Feature, ...] = get_args(Feature)

Run = Literal["here", "by others", "never"]
"""Who has run it: this repository's tests, somebody who published it, or nobody that we know of."""


class Lack(BaseModel):
    """Why something is not there."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    why: str
    """A clause, without a full stop."""
    source: Source


class Capabilities(BaseModel):
    """Of one engine: a pair, with or without its draft. What is not in `lacks` is there."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    stack: str
    plugin: str | None = None
    """Whose vLLM plugin runs it, where the stack leaves a choice."""
    lacks: Mapping[Feature, Lack]
    max_draft_tokens: Annotated[int, Field(ge=0)]
    """K; 0 where there is no speculation."""
    counts_target: bool = False
    """Whether its own number of speculative tokens counts the target's: then it is K + 1."""
    reserved_tokens: Annotated[int, Field(ge=0)] = 0
    """At the end of `max_model_len`, which no request may use."""
    run: Run

    @model_validator(mode="after")
    def _drafts_need_speculation(self) -> Self:
        if ("speculation" in self.lacks) != (self.max_draft_tokens == 0):
            raise ValueError("max_draft_tokens must be 0 where speculation is lacking, only there")
        return self

    def can(self, feature: Feature) -> bool:
        return feature not in self.lacks


def lacking(why: str, source: Source, *features: Feature) -> dict[Feature, Lack]:
    """The same reason for each of `features`."""
    return {feature: Lack(why=why, source=source) for feature in features}


PLAIN = "it was started without a draft"
SAMPLED: tuple[Feature, ...] = (
    "sampling",
    "penalties",
    "seed",
    "min_p",
    "logit_bias",
    "token_limits",
)
"""What an engine that only ever takes the likeliest token cannot do."""
GRAMMARS: tuple[Feature, ...] = ("grammar", "grammar_past_eos")
LOGPROBS: tuple[Feature, ...] = ("logprobs", "prompt_logprobs")

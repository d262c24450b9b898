"""Which requests the fused step cannot serve, each in one sentence with the way out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from neuron.plugin.sampling import Sampling

if TYPE_CHECKING:
    from vllm.sampling_params import SamplingParams

PLAIN_POOL = "send it to an engine without speculation"


@dataclass(frozen=True)
class Terms:
    """What an engine was started with, as far as a request can go beyond it."""

    max_prompt: int
    max_len: int
    """Positions compiled for."""
    num_draft_tokens: int
    vocab: int
    logits: bool = True
    reasoning: bool = False
    """Whether a reasoning parser postpones the grammar until the reasoning has ended."""

    @property
    def max_model_len(self) -> int:
        """Prompt and output together: a step at the last position still writes k rows."""
        return self.max_len - self.num_draft_tokens


def refusal(terms: Terms, tokens: Sequence[int], params: SamplingParams) -> str | None:
    """Why a request with this prompt cannot be served; None where it can."""
    outside = next((token for token in tokens if not 0 <= token < terms.vocab), None)
    if outside is not None:
        return f"The prompt holds token {outside}, but tokens go from 0 to {terms.vocab - 1}."
    prompt = len(tokens)
    if prompt > terms.max_prompt:
        return (
            f"The prompt has {prompt} tokens, but this engine is compiled for prompts of "
            f"{terms.max_prompt}: shorten it or {PLAIN_POOL}."
        )
    total = prompt + (params.max_tokens or 1)
    if total > terms.max_model_len:
        return (
            f"The prompt's {prompt} tokens and max_tokens = {total - prompt} make {total}, but "
            f"this engine, compiled for {terms.max_len} positions, keeps the last "
            f"{terms.num_draft_tokens} for its drafts: ask for at most "
            f"{max(terms.max_model_len - prompt, 0)} or {PLAIN_POOL}."
        )
    if params.prompt_logprobs is not None:
        return (
            "prompt_logprobs is not served: the fused prefill gives the logits of the prompt's "
            f"last token only; leave it out or {PLAIN_POOL}."
        )
    sampling = Sampling.of(params)
    if sampling.grammar and terms.reasoning:
        return (
            "A structured output together with a reasoning parser is not served: the reasoning may "
            "end inside a step, and vLLM takes up the grammar only after it; start the engine "
            f"without --reasoning-parser or {PLAIN_POOL}."
        )
    if sampling.grammar and params.ignore_eos:
        return (
            "A structured output together with ignore_eos is not served: behind the end of the "
            "answer the grammar allows nothing, and vLLM rejects what comes; leave out ignore_eos."
        )
    if not terms.logits and not sampling.on_device:
        return (
            "This engine is compiled without logits and so is greedy only: leave out temperature, "
            f"logprobs, penalties, token limits and structured outputs, or {PLAIN_POOL}."
        )
    return None

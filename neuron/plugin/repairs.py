"""One refusal of vLLM 0.16 that does not hold here.

vLLM turns min_p, min_tokens and logit_bias away from any engine with a speculative configuration,
because its own rejection sampler ignores them. Our host verification does not use that sampler.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from neuron.plugin.nxdi_source import digest_of
from neuron.plugin.replaced import Method, Replacement, replace_all

if TYPE_CHECKING:
    from vllm.sampling_params import SamplingParams

    Validate = Callable[[Any, Any], None]

METHOD = "_validate_supported_sampling_params"
KNOWN_DIGEST = "dfb4522e62adaee1b75514da81d0abf1178ba12e1c68012eed06020bf07e7708"
"""Of vLLM 0.16.0's: another may refuse what does not hold here either, or what does."""


def serve_what_the_host_verifies() -> bool:
    """In the process that takes requests; False where vLLM goes on refusing, with a warning."""
    from vllm.v1.engine.input_processor import InputProcessor

    return replace_all(
        "min_p, min_tokens and logit_bias beside drafts",
        [Replacement(InputProcessor, METHOD, is_known, without_the_refusal)],
    )


def is_known(method: Method) -> bool:
    return digest_of(method) == KNOWN_DIGEST


def without_the_refusal(original: Validate) -> Validate:
    """vLLM's method, which then sees a request without the three parameters."""

    def validate(processor: object, params: SamplingParams) -> None:
        seen = SimpleNamespace(
            logits_processors=params.logits_processors, min_tokens=0, min_p=0.0, logit_bias=None
        )
        original(processor, seen)

    return validate

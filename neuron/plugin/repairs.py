"""One refusal of vLLM 0.16 that does not hold here.

vLLM turns min_p, min_tokens and logit_bias away from any engine with a speculative configuration,
because its own rejection sampler ignores them. Our host verification does not use that sampler.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vllm.sampling_params import SamplingParams

    Validate = Callable[[Any, Any], None]

METHOD = "_validate_supported_sampling_params"


def serve_what_the_host_verifies() -> None:
    """Once or more often, in the process that takes requests. Raises AttributeError."""
    from vllm.v1.engine.input_processor import InputProcessor

    current = getattr(InputProcessor, METHOD)
    if not getattr(current, "is_specserve", False):
        setattr(InputProcessor, METHOD, without_the_refusal(current))


def without_the_refusal(original: Validate) -> Validate:
    """vLLM's method, which then sees a request without the three parameters."""

    def validate(processor: object, params: SamplingParams) -> None:
        seen = SimpleNamespace(
            logits_processors=params.logits_processors, min_tokens=0, min_p=0.0, logit_bias=None
        )
        original(processor, seen)

    validate.is_specserve = True  # type: ignore[attr-defined]
    return validate

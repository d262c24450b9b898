"""Two repairs of vLLM 0.32.0's CPU build, found by vLLM as a general plugin.

Without Triton, that build answers speculative requests at temperature > 0 with garbage and
dies of top_k. Each fault sits in one function, and only that function is replaced:

expand_kernel     writes its result into an int64 copy of float or int32 output
apply_top_k_only  takes the maximum of an empty tensor in a step without drafts
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    ApplyTopK = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

REPAIRED_VERSION = "0.32.0"

# Below vLLM's own logger, so that the note is shown with the engine's.
logger = logging.getLogger("vllm.specserve_cpu_sampling")


def register() -> None:
    """Called by vLLM in each of its processes, possibly more than once."""
    import vllm

    reason = why_not(vllm.__version__, _on_cpu, _has_triton)
    if reason is not None:
        logger.warning("specserve's repair of CPU sampling is off: %s.", reason)
        return
    from vllm.utils import cpu_triton_utils
    from vllm.v1.sample.ops import topk_topp_sampler

    # The worker registers the CPU kernels after the plugins ran, and takes this attribute.
    cpu_triton_utils._expand_kernel_impl = expand
    if not isinstance(topk_topp_sampler.apply_top_k_only, TopKOnly):
        topk_topp_sampler.apply_top_k_only = TopKOnly(topk_topp_sampler.apply_top_k_only)
    logger.info("specserve's repair of CPU sampling is on (vLLM %s).", REPAIRED_VERSION)


def why_not(version: str, on_cpu: Callable[[], bool], has_triton: Callable[[], bool]) -> str | None:
    """Why the repair does not apply to this vLLM; None where it does."""
    # The version first: on another vLLM nothing else of it is touched.
    if version.partition("+")[0] != REPAIRED_VERSION:
        return f"it is for vLLM {REPAIRED_VERSION} and this is {version}"
    if not on_cpu():
        return "this vLLM does not run on the CPU"
    if has_triton():
        return "Triton is installed, so its own kernels run"
    return None


def _on_cpu() -> bool:
    from vllm.platforms import current_platform

    return bool(current_platform.is_cpu())


def _has_triton() -> bool:
    from vllm.triton_utils import HAS_TRITON

    return bool(HAS_TRITON)


def expand(
    output: torch.Tensor,
    input_val: torch.Tensor,
    cu_num_tokens: torch.Tensor,
    replace_from: int,
    replace_to: int,
    MAX_NUM_TOKENS: int | None = None,  # noqa: N803 (the kernel's own name for it)
) -> None:
    """Row i of `input_val` once for each of request i's tokens, in `output`'s own dtype."""
    values = input_val.masked_fill(input_val == replace_from, replace_to)
    counts = cu_num_tokens.diff(prepend=cu_num_tokens.new_zeros(1))
    output.copy_(values.repeat_interleave(counts, output_size=output.shape[0]))


class TopKOnly:
    """vLLM's apply_top_k_only, except that no rows in means no rows out."""

    def __init__(self, original: ApplyTopK) -> None:
        self._original = original

    def __call__(self, logits: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        if logits.shape[0] == 0:
            return logits
        return self._original(logits, k)

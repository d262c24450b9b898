"""vLLM's configuration made fit for fused steps, and the terms that follow from it.

vLLM is started with its own flags: `--max-model-len` is what is compiled for, and what a request
may use is K less. Whatever a fused step has no use for is switched off here; what would change
answers is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from neuron.errors import PairError
from neuron.plugin.build import Facts
from neuron.plugin.fused import rows_for
from neuron.plugin.refusals import Terms

if TYPE_CHECKING:
    from vllm.config import VllmConfig

OPTIONS = "specserve"
"""Key in `--additional-config` for the fused model's own options."""
COMPILED = "specserve_max_len"
"""Key that we add there: `--max-model-len` before K was taken off, so that it is taken off once."""
ADAPTIVE = "specserve_adaptive_drafts"
"""Key in `--additional-config`: true lets a step have fewer drafts than K where that is faster."""
TELLS_ACCEPTANCE = "specserve_tells_acceptance"
"""Key that we add there: whether the server's process takes each step's counts out again."""
BLOCK_SIZE = 16
"""Tokens per block of vLLM's bookkeeping; there is no such block in a slot."""


def options(config: VllmConfig) -> Mapping[str, Any]:
    chosen: Mapping[str, Any] = config.additional_config.get(OPTIONS, {})
    return chosen


def is_adaptive(config: VllmConfig) -> bool:
    return bool(config.additional_config.get(ADAPTIVE, False))


def facts(config: VllmConfig) -> Facts:
    return Facts(
        target=config.model_config.model,
        draft=config.speculative_config.model,
        num_draft_tokens=config.speculative_config.num_speculative_tokens,
        max_len=config.additional_config[COMPILED],
        slots=config.scheduler_config.max_num_seqs,
        dtype=config.model_config.dtype,
    )


def terms(config: VllmConfig) -> Terms:
    num_draft_tokens = config.speculative_config.num_speculative_tokens
    max_len = config.additional_config[COMPILED]
    structured = config.structured_outputs_config
    return Terms(
        max_prompt=options(config).get("max_prompt_len") or max_len - num_draft_tokens,
        max_len=max_len,
        num_draft_tokens=num_draft_tokens,
        vocab=config.model_config.get_vocab_size(),
        logits=options(config).get("logits", True),
        reasoning=bool(structured.reasoning_parser) and not structured.enable_in_reasoning,
    )


def fit(config: VllmConfig, *, worker: str, scheduler: str) -> None:
    """In place, and again without effect. Raises PairError."""
    _refuse(config)
    model, schedule, cache = config.model_config, config.scheduler_config, config.cache_config
    num_draft_tokens = config.speculative_config.num_speculative_tokens
    config.additional_config.setdefault(COMPILED, model.max_model_len)
    model.max_model_len = config.additional_config[COMPILED] - num_draft_tokens
    if model.max_model_len < 2:
        raise PairError(
            f"--max-model-len {config.additional_config[COMPILED]} leaves nothing beside "
            f"{num_draft_tokens} drafts; raise the one or lower the other."
        )
    # Prefills are whole, and a step of every slot fits beside one of any length.
    schedule.enable_chunked_prefill = False
    schedule.max_num_batched_tokens = model.max_model_len + schedule.max_num_seqs * rows_for(
        num_draft_tokens
    )
    schedule.async_scheduling = False
    schedule.scheduler_cls = scheduler
    cache.block_size = BLOCK_SIZE
    cache.enable_prefix_caching = False
    config.parallel_config.worker_cls = worker
    # Scheduler and worker share a process: the grammar's state is asked for inside a step.
    config.parallel_config.distributed_executor_backend = "uni"


def _refuse(config: VllmConfig) -> None:
    speculative = config.speculative_config
    if speculative is None or speculative.method != "draft_model":
        raise PairError(
            "A fused step needs a draft: give --speculative-config with method draft_model, or "
            "set SPECSERVE_PLUGIN=off."
        )
    parallel, model = config.parallel_config, config.model_config
    refused = {
        "--tensor-parallel-size (the graph's degree is the option tp_degree)": (
            parallel.tensor_parallel_size > 1
        ),
        "--pipeline-parallel-size": parallel.pipeline_parallel_size > 1,
        "--data-parallel-size (start one engine per replica)": parallel.data_parallel_size > 1,
        "--enable-lora": config.lora_config is not None,
        "--kv-transfer-config": config.kv_transfer_config is not None,
        "--enable-prompt-embeds": model.enable_prompt_embeds,
        "--runner pooling": model.runner_type != "generate",
        "--logprobs-mode other than raw_logprobs": model.logprobs_mode != "raw_logprobs",
    }
    for flag, given in refused.items():
        if given:
            raise PairError(f"A fused engine does not serve {flag}; leave the flag out.")

"""vLLM's worker for fused steps: its scheduler's words into a Runner's, and the answer back."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import torch
from vllm.v1.kv_cache_interface import FullAttentionSpec
from vllm.v1.outputs import EMPTY_MODEL_RUNNER_OUTPUT, DraftTokenIds, ModelRunnerOutput
from vllm.v1.worker.worker_base import WorkerBase

from neuron.errors import LaunchError
from neuron.plugin.activation import NEURON_DEVICE, model_name
from neuron.plugin.adaptive import AdaptivePace
from neuron.plugin.build import build_model
from neuron.plugin.fused import PADDING, FusedModel
from neuron.plugin.logprobs import flattened
from neuron.plugin.pace import FullPace
from neuron.plugin.runner import Arrival, Batch, Masks, Runner
from neuron.plugin.sampling import Sampling
from neuron.plugin.terms import BLOCK_SIZE, facts, is_adaptive, options, terms

if TYPE_CHECKING:
    from vllm.v1.core.sched.output import SchedulerOutput
    from vllm.v1.kv_cache_interface import KVCacheSpec


class FusedWorker(WorkerBase):  # type: ignore[misc] # vLLM is untyped to mypy
    fused: FusedModel | None = None

    def init_device(self) -> None:
        self.device = torch.device("cpu")

    def load_model(self) -> None:
        """Raises PairError, ModelNotFoundError or LaunchError."""
        name = model_name(os.environ, device=NEURON_DEVICE.exists())
        if name is None:
            raise LaunchError("SPECSERVE_PLUGIN names no fused model in the engine's process.")
        self.fused = build_model(name, facts(self.vllm_config), options(self.vllm_config))
        limits = self.fused.load()
        self._require_what_was_promised(limits.slots, limits.max_prompt, limits.max_len)
        seed = self.model_config.seed or 0
        pace = AdaptivePace(limits) if is_adaptive(self.vllm_config) else FullPace(limits)
        self.runner = Runner(self.fused, limits, pace, seed=seed)
        self._scheduled: list[str] = []

    def get_supported_tasks(self) -> tuple[str, ...]:
        return ("generate",)

    def get_kv_cache_spec(self) -> dict[str, KVCacheSpec]:
        """One layer of nothing: blocks only count tokens, and every slot has its own."""
        spec = FullAttentionSpec(
            block_size=BLOCK_SIZE, num_kv_heads=1, head_size=1, dtype=torch.float32
        )
        self._page_bytes = spec.page_size_bytes
        return {"slots": spec}

    def determine_available_memory(self) -> int:
        """Bytes of blocks for every slot to its end, so that nothing is ever preempted."""
        per_slot = -(-self.model_config.max_model_len // BLOCK_SIZE)
        # One more is vLLM's null block.
        blocks = self.scheduler_config.max_num_seqs * per_slot + 1
        return int(blocks * self._page_bytes)

    def initialize_from_config(self, kv_cache_config: object) -> None:
        """Nothing: the caches are the fused model's."""

    def initialize_cache(self, num_gpu_blocks: int, num_cpu_blocks: int) -> None:
        """Nothing: the caches are the fused model's."""

    def compile_or_warm_up_model(self) -> None:
        """Nothing: `FusedModel.load` has done both."""

    def execute_model(self, scheduler_output: SchedulerOutput) -> ModelRunnerOutput | None:
        """None where a grammar's masks are needed first: `sample_tokens` then ends the step."""
        self._scheduled = list(scheduler_output.num_scheduled_tokens)
        self.runner.run(batch_of(scheduler_output))
        if not self._scheduled:
            return EMPTY_MODEL_RUNNER_OUTPUT
        return None if self.runner.waits_for_masks else self._output(None)

    def sample_tokens(self, grammar_output: Masks | None) -> ModelRunnerOutput:
        return self._output(grammar_output)

    def take_draft_token_ids(self) -> DraftTokenIds | None:
        """Placeholders; the scheduler takes back those that are not accepted."""
        if not self._scheduled:
            return None
        count = self.runner.next_drafts(self._scheduled)
        return DraftTokenIds(self._scheduled, [[PADDING] * count for _ in self._scheduled])

    def shutdown(self) -> None:
        if self.fused is not None:
            self.fused.close()
            self.fused = None

    def _output(self, masks: Masks | None) -> ModelRunnerOutput:
        decided = self.runner.decide(masks)
        return ModelRunnerOutput(
            req_ids=[one.request_id for one in decided],
            req_id_to_index={one.request_id: i for i, one in enumerate(decided)},
            sampled_token_ids=[list(one.tokens) for one in decided],
            logprobs=flattened(decided),
        )

    def _require_what_was_promised(self, slots: int, max_prompt: int, max_len: int) -> None:
        promised = terms(self.vllm_config)
        if (
            slots < self.scheduler_config.max_num_seqs
            or max_prompt < promised.max_prompt
            or max_len < promised.max_len
        ):
            raise LaunchError(
                f"The fused model has {slots} slots of {max_len} positions for prompts of "
                f"{max_prompt}, less than the engine was started for; compile it anew."
            )


def batch_of(output: Any) -> Batch:  # noqa: ANN401 - vLLM's SchedulerOutput
    drafts = {
        request_id: len(output.scheduled_spec_decode_tokens.get(request_id, ()))
        for request_id in output.scheduled_cached_reqs.req_ids
    }
    return Batch(
        finished=output.finished_req_ids,
        arrivals=[
            Arrival(new.req_id, new.prompt_token_ids, Sampling.of(new.sampling_params))
            for new in output.scheduled_new_reqs
        ],
        drafts=drafts,
    )

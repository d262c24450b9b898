"""vLLM's scheduler with placeholders for drafts, which no grammar can judge beforehand.

It counts what became of them by itself, for all requests together; here by request too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from vllm.v1.core.sched.scheduler import Scheduler

from neuron.plugin.acceptance import speculated
from neuron.plugin.fused import PADDING
from neuron.plugin.terms import TELLS_ACCEPTANCE
from neuron.plugin.verify import unpacked

if TYPE_CHECKING:
    from vllm.v1.core.sched.output import SchedulerOutput
    from vllm.v1.engine import EngineCoreOutputs
    from vllm.v1.outputs import DraftTokenIds, ModelRunnerOutput
    from vllm.v1.spec_decode.metrics import SpecDecodingStats


class FusedScheduler(Scheduler):  # type: ignore[misc] # vLLM is untyped to mypy
    def update_from_output(
        self, scheduler_output: SchedulerOutput, model_runner_output: ModelRunnerOutput
    ) -> dict[int, EngineCoreOutputs]:
        """With each request's tokens, what became of its drafts in this step."""
        self._speculated: dict[str, dict[str, int]] = {}
        by_client: dict[int, EngineCoreOutputs] = super().update_from_output(
            scheduler_output, model_runner_output
        )
        if self.vllm_config.additional_config[TELLS_ACCEPTANCE]:
            for answers in by_client.values():
                for one in answers.outputs:
                    # vLLM's one free field, which the server's process empties again.
                    one.kv_transfer_params = self._speculated.get(one.request_id)
        return by_client

    def make_spec_decoding_stats(
        self,
        spec_decoding_stats: SpecDecodingStats | None,
        num_draft_tokens: int,
        num_accepted_tokens: int,
        num_invalid_spec_tokens: dict[str, int] | None,
        request_id: str,
    ) -> SpecDecodingStats | None:
        """vLLM calls it once per request and step with drafts, and adds up over requests."""
        self._speculated[request_id] = speculated(num_draft_tokens, num_accepted_tokens)
        return super().make_spec_decoding_stats(
            spec_decoding_stats,
            num_draft_tokens=num_draft_tokens,
            num_accepted_tokens=num_accepted_tokens,
            num_invalid_spec_tokens=num_invalid_spec_tokens,
            request_id=request_id,
        )

    def update_draft_token_ids(self, draft_token_ids: DraftTokenIds) -> None:
        """vLLM would put the drafts to the grammar here, but they are drafted inside the step."""
        announced = zip(draft_token_ids.req_ids, draft_token_ids.draft_token_ids, strict=True)
        for request_id, placeholders in announced:
            request = self.requests.get(request_id)
            if request is not None and not request.is_finished():
                request.spec_token_ids = placeholders

    def get_grammar_bitmask(self, scheduler_output: SchedulerOutput) -> GrammarRows | None:
        """Not a mask but what makes one, once the worker knows the candidates."""
        if not scheduler_output.has_structured_output_requests:
            return None
        vocab = self.vllm_config.model_config.get_vocab_size()
        return GrammarRows(self.structured_output_manager, self.requests, vocab)


class GrammarRows:
    """Masks by vLLM's own machinery, for the candidates of one request at a time."""

    def __init__(self, manager: Any, requests: dict[str, Any], vocab: int) -> None:  # noqa: ANN401
        self._manager = manager
        self._requests = requests
        self._vocab = vocab

    def rows(self, request_id: str, candidates: Sequence[int]) -> torch.Tensor:
        """Bool [1 + len(candidates), vocab]; all true behind a candidate that it forbids."""
        grammar = self._requests[request_id].structured_output_request.grammar
        valid = [] if grammar.is_terminated() else grammar.validate_tokens(list(candidates))
        # vLLM stops advancing at a placeholder, and would assert at a forbidden token.
        padded = valid + [PADDING] * (len(candidates) - len(valid))
        words = self._manager.grammar_bitmask(self._requests, [request_id], {request_id: padded})
        return unpacked(words, self._vocab)

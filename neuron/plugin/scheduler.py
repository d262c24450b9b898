"""vLLM's scheduler with placeholders for drafts, which no grammar can judge beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from vllm.v1.core.sched.scheduler import Scheduler

from neuron.plugin.fused import PADDING
from neuron.plugin.verify import unpacked

if TYPE_CHECKING:
    from vllm.v1.core.sched.output import SchedulerOutput
    from vllm.v1.outputs import DraftTokenIds


class FusedScheduler(Scheduler):  # type: ignore[misc] # vLLM is untyped to mypy
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

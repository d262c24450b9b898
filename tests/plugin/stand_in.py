"""Our own stand-in for NxDI's NeuronFusedSpecModel: the same operations, none of its text."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from neuron.plugin.nxdi_source import digest_of


class StandInFused:
    """Two rounds of drafting; a "draft" answers with its mask, so that tests see the mask."""

    def __init__(self, *, logits: bool = False) -> None:
        self.neuron_config = SimpleNamespace(output_logits=logits)
        self.masks: list[torch.Tensor] = []

    def _token_gen_forward(
        self, mask: torch.Tensor, position_ids: torch.Tensor, start: int = 7
    ) -> list[torch.Tensor]:
        filled = mask.clone()
        candidate_input_ids = torch.full_like(position_ids, start)
        draft_logits_list = []
        for i in range(2):
            position = position_ids + i
            self.masks.append(filled.clone())
            filled.index_fill_(1, position.to(torch.int64).squeeze(), 1).view(mask.shape[0], -1)
            candidate_input_ids = torch.cat((candidate_input_ids, position * 10), dim=-1)
            draft_logits_list.append(torch.zeros(mask.shape[0], 1, 5))
        if self.neuron_config.output_logits:
            draft_logits = torch.cat(draft_logits_list, dim=1)
            return [candidate_input_ids, draft_logits]
        return [candidate_input_ids]

    def _context_encoding_forward(self) -> list[str]:
        draft_outputs = ["draft token", "draft logits", "draft cache"]
        target_outputs = ["target token", "target logits", "target cache"]
        if self.neuron_config.output_logits:
            return draft_outputs[:2] + target_outputs[:2] + draft_outputs[1:] + target_outputs[1:]
        return [draft_outputs[0], target_outputs[0], *draft_outputs[2:], *target_outputs[2:]]


def fresh() -> type[StandInFused]:
    """A class of its own, so that a repair of it leaves the next test's alone."""
    body = {name: value for name, value in vars(StandInFused).items() if name != "__dict__"}
    return type("StandInFused", (), body)


def digests() -> dict[str, str]:
    names = ("_token_gen_forward", "_context_encoding_forward")
    found = {name: digest_of(getattr(StandInFused, name)) for name in names}
    return {name: digest for name, digest in found.items() if digest is not None}

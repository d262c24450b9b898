"""What comes out of NxDI's fused graphs, checked before anything is believed.

Order, NXDI 4bcdc54, models/model_base.py:3021 and utils/hf_adapter.py:545: accepted tokens, next
input, next mask, next position, and with logits two more; ours are the candidates instead of the
draft's logits (neuron.plugin.nxdi_outputs), then the target's logits. Caches stay on the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from neuron.plugin.fused import ContractError, Feed, Limits, Stepped, emitted
from neuron.plugin.nxdi_batch import Call


@dataclass(frozen=True)
class RawOutputs:
    tokens: torch.Tensor
    """[B, k] int32, padded with -1."""
    next_ids: torch.Tensor
    """[B, 1]"""
    next_mask: torch.Tensor
    """[B, columns of the graph]"""
    next_positions: torch.Tensor
    """[B, 1]"""
    candidates: torch.Tensor | None
    """[B, k] int32, d1 … dk; of a prefill the draft's logits, which nobody reads."""
    logits: torch.Tensor | None
    """[B, k, vocab or more] in a step, [1, 1, …] in a prefill: the target's, padding included."""


def unpack(outputs: Sequence[torch.Tensor], limits: Limits) -> RawOutputs:
    expected = 6 if limits.logits else 4
    if len(outputs) != expected:
        raise ContractError(
            f"NxDI returned {len(outputs)} outputs instead of {expected}: the artefact was "
            f"compiled with output_logits = {not limits.logits}; remove it and compile again."
        )
    tokens, next_ids, next_mask, next_positions, *rest = outputs
    candidates, logits = rest or (None, None)
    return RawOutputs(tokens, next_ids, next_mask, next_positions, candidates, logits)


def first_token(raw: RawOutputs, length: int, limits: Limits) -> int:
    """Of a prefill of `length` tokens."""
    _shaped("tokens", raw.tokens, (1, limits.rows))
    _at(raw.next_positions, torch.tensor([[length]]))
    tokens = emitted(raw.tokens[0].tolist())
    if len(tokens) != 1:
        raise ContractError(f"A prefill emits one token, but NxDI emitted {tokens}.")
    return tokens[0]


def stepped(raw: RawOutputs, call: Call, feeds: Sequence[Feed], limits: Limits) -> list[Stepped]:
    batch = (limits.slots, limits.rows)
    _shaped("tokens", raw.tokens, batch)
    counts = (raw.tokens >= 0).sum(dim=1, keepdim=True)
    _at(raw.next_positions, call.position_ids + counts)
    if raw.candidates is not None and raw.logits is not None:
        _shaped("candidates", raw.candidates, batch)
        _shaped("logits", raw.logits[:, :, : limits.vocab], (*batch, limits.vocab))
    return [_one(raw, feed, limits) for feed in feeds]


def _one(raw: RawOutputs, feed: Feed, limits: Limits) -> Stepped:
    tokens = emitted(raw.tokens[feed.slot].tolist())
    if not feed.logits or raw.candidates is None or raw.logits is None:
        return Stepped(tokens)
    return Stepped(
        tokens,
        # The last pass only completes the draft's cache: its candidate is never verified.
        candidates=tuple(raw.candidates[feed.slot, :-1].tolist()),
        logits=raw.logits[feed.slot, :, : limits.vocab].float(),
    )


def _shaped(name: str, tensor: torch.Tensor, shape: tuple[int, ...]) -> None:
    if tuple(tensor.shape) != shape:
        raise ContractError(f"NxDI returned {name} of shape {tuple(tensor.shape)}, not {shape}.")


def _at(found: torch.Tensor, expected: torch.Tensor) -> None:
    if not torch.equal(found.to(torch.int64).cpu(), expected.to(torch.int64)):
        raise ContractError(
            f"NxDI's next positions {found.flatten().tolist()} are not those of the tokens it "
            f"emitted, {expected.flatten().tolist()}."
        )

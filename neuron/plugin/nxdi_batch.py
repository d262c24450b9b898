"""What goes into NxDI's forward: always whole batches, so that NxDI never pads rows itself.

Rows that NxDI pads repeat the first row's token and position under the missing slots' numbers
(NXDI 4bcdc54, models/model_wrapper.py:520) and so write into those slots' caches, over a sequence
that merely sat this step out. Here a row nobody asked for writes where nothing valid is: behind
its sequence, or at position 1 of a free slot. Never at 0, which NxDI takes for a prefill
(models/model_base.py:3546).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from neuron.plugin.fused import Feed, Limits
from neuron.plugin.nxdi_settings import NxdiSettings

FILLER_TOKEN = 0
FREE_POSITION = 1

NEUTRAL = (1.0, 1.0, 1.0)
"""top_k, top_p, temperature. The static greedy graph reads none of them, but takes the tensor."""


@dataclass(frozen=True)
class Call:
    """Keyword arguments of NxDI's forward. All int32 but `sampling_params`, float32 [B, 3]."""

    input_ids: torch.Tensor
    """[1, columns] in a prefill, [B, 1] in a step."""
    attention_mask: torch.Tensor
    """[1, columns], or [B, largest position] with the columns below each row's position."""
    position_ids: torch.Tensor
    """Shaped like `input_ids`."""
    seq_ids: torch.Tensor
    """[1] or [B]: slots, ascending."""
    sampling_params: torch.Tensor


def prefill_call(slot: int, tokens: Sequence[int], settings: NxdiSettings) -> Call:
    length = columns = len(tokens)
    if length <= 2:
        # NxDI pads positions with 1 and reads the hidden state at the largest position
        # (model_wrapper.py:769, model_base.py:974): of a one-token prompt, that of its padding.
        # A prompt that fills the longest graph is not padded.
        columns = settings.max_prompt_len
    padding = columns - length
    return Call(
        input_ids=_row([*tokens, *[FILLER_TOKEN] * padding]),
        attention_mask=_row([*[1] * length, *[0] * padding]),
        position_ids=_row([*range(length), *[0] * padding]),
        seq_ids=torch.tensor([slot], dtype=torch.int32),
        sampling_params=_sampling(1),
    )


def step_call(feeds: Sequence[Feed], idle: Mapping[int, int], limits: Limits) -> Call:
    """`idle` is the position behind everything valid of each live slot that is not fed."""
    tokens = [FILLER_TOKEN] * limits.slots
    positions = [FREE_POSITION] * limits.slots
    for slot, position in idle.items():
        positions[slot] = min(position, limits.max_len - limits.rows)
    for feed in feeds:
        tokens[feed.slot], positions[feed.slot] = feed.token, feed.position
    column = torch.tensor(positions, dtype=torch.int32).unsqueeze(1)
    seen = torch.arange(max(positions), dtype=torch.int32) < column
    return Call(
        input_ids=torch.tensor(tokens, dtype=torch.int32).unsqueeze(1),
        attention_mask=seen.to(torch.int32),
        position_ids=column,
        seq_ids=torch.arange(limits.slots, dtype=torch.int32),
        sampling_params=_sampling(limits.slots),
    )


def _row(values: list[int]) -> torch.Tensor:
    return torch.tensor([values], dtype=torch.int32)


def _sampling(batch: int) -> torch.Tensor:
    return torch.tensor([NEUTRAL], dtype=torch.float32).repeat(batch, 1)

"""Key and value caches of one model, one contiguous row per slot, as NxDI keeps them."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Window:
    """Where one forward pass reads and writes."""

    slots: torch.Tensor
    """[B] slots, in batch order."""
    positions: torch.Tensor
    """[B, q] positions of the tokens fed."""
    columns: int
    """Columns of the cache that the pass sees as they were before it; 0 in a prefill."""


class SlotCache:
    """What transformers calls as `past_key_values`.

    A pass attends to the columns as they were, followed by its own q tokens, and only then are
    those written: the order of NxDI, where a stale column is read even if this pass replaces it.
    """

    def __init__(
        self, layers: int, slots: int, heads: int, max_len: int, head_dim: int, dtype: torch.dtype
    ) -> None:
        shape = (layers, slots, heads, max_len, head_dim)
        self._keys = torch.zeros(shape, dtype=dtype)
        self._values = torch.zeros(shape, dtype=dtype)
        nowhere = torch.zeros(0, dtype=torch.long)
        self._window = Window(nowhere, nowhere, columns=0)

    def look_at(self, window: Window) -> None:
        self._window = window

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        layer_idx: int,
        cache_kwargs: object = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """States are [B, heads, q, head_dim]; returns [B, heads, columns + q, head_dim]."""
        return (
            _swap(self._keys[layer_idx], key_states, self._window),
            _swap(self._values[layer_idx], value_states, self._window),
        )

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self._window.columns


def _swap(store: torch.Tensor, states: torch.Tensor, window: Window) -> torch.Tensor:
    before = store[window.slots, :, : window.columns]
    seen = torch.cat((before, states), dim=2) if window.columns else states
    # Two index tensors around a slice: their shape [B, q] comes first, the heads after it.
    store[window.slots[:, None], :, window.positions] = states.transpose(1, 2)
    return seen

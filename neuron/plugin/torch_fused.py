"""The fused step on a CPU: real Qwen weights, NxDI's contract, no graph.

For tests and for laptops. It computes what NxDI's graph computes, pass by pass, so whatever holds
above the protocol here holds there as far as the contract in neuron.plugin.fused is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from neuron.errors import PairError
from neuron.plugin.fused import (
    PADDING,
    Feed,
    Limits,
    Prefilled,
    Stepped,
    check_feeds,
    check_prompt,
    emitted,
)
from neuron.plugin.hf_model import SlotModel
from neuron.plugin.slot_cache import Window


@dataclass(frozen=True)
class RawStep:
    """A step as the graph returns it, before anything is unpacked."""

    tokens: torch.Tensor
    """[B, k] int32, padded with -1."""
    next_positions: torch.Tensor
    """[B]"""
    candidates: torch.Tensor
    """[B, k - 1]"""
    logits: torch.Tensor
    """[B, k, vocab] float32, the target's."""


class TorchFusedModel:
    """`shared_draft_mask` reproduces a fault of NxDI 4bcdc54 (model_base.py line 1883): between
    draft passes the columns of *every* sequence are opened in *every* row, so that a draft sees
    what an earlier sequence left in its slot. The output stays exact; acceptance is lost.
    """

    def __init__(
        self,
        target: Path,
        draft: Path,
        *,
        rows: int,
        slots: int,
        max_prompt: int,
        max_len: int,
        dtype: torch.dtype = torch.float32,
        logits: bool = True,
        shared_draft_mask: bool = False,
    ) -> None:
        self._target_folder = target
        self._draft_folder = draft
        self._dtype = dtype
        self._shared_draft_mask = shared_draft_mask
        self.limits = Limits(
            rows=rows,
            slots=slots,
            max_prompt=max_prompt,
            max_len=max_len,
            vocab=1,
            logits=logits,
            graphs=tuple(range(1, rows + 1)),
        )

    def load(self) -> Limits:
        """Raises PairError if the vocabularies differ and ModelNotFoundError."""
        self._target = self._loaded(self._target_folder)
        self._draft = self._loaded(self._draft_folder)
        if self._target.vocab != self._draft.vocab:
            raise PairError(
                f"The draft's vocabulary of {self._draft.vocab} is not the target's "
                f"{self._target.vocab}: choose a draft of the target's family and vocabulary."
            )
        self.limits = replace(self.limits, vocab=self._target.vocab)
        return self.limits

    def _loaded(self, folder: Path) -> SlotModel:
        limits = self.limits
        return SlotModel(folder, slots=limits.slots, max_len=limits.max_len, dtype=self._dtype)

    def prefill(self, slot: int, tokens: Sequence[int], *, logits: bool = False) -> Prefilled:
        check_prompt(self.limits, slot, tokens)
        fed = torch.tensor([list(tokens)])
        window = Window(torch.tensor([slot]), torch.arange(fed.shape[1])[None], columns=0)
        nothing = torch.zeros(1, 0, dtype=torch.bool)
        with torch.inference_mode():
            self._draft.logits(fed, window, nothing, last=True)
            row = self._target.logits(fed, window, nothing, last=True)[0, 0]
        return Prefilled(int(row.argmax()), row if logits else None)

    def step(self, feeds: Sequence[Feed], rows: int) -> list[Stepped]:
        check_feeds(self.limits, feeds, rows)
        raw = self.forward(
            torch.tensor([feed.slot for feed in feeds]),
            torch.tensor([feed.token for feed in feeds]),
            torch.tensor([feed.position for feed in feeds]),
            rows,
        )
        candidates = raw.candidates.tolist()
        return [
            Stepped(
                tokens=emitted(raw.tokens[i].tolist()),
                candidates=tuple(candidates[i]),
                logits=raw.logits[i] if feed.logits else None,
            )
            for i, feed in enumerate(feeds)
        ]

    def forward(
        self, slots: torch.Tensor, tokens: torch.Tensor, positions: torch.Tensor, rows: int
    ) -> RawStep:
        """One step; slots, tokens and positions are [B]."""
        window = Window(slots, positions[:, None] + torch.arange(rows), int(positions.max()))
        prior = torch.arange(window.columns) < positions[:, None]
        with torch.inference_mode():
            fed = self._drafted(slots, tokens, positions, rows)
            logits = self._target.logits(fed, window, prior)
        chosen = logits.argmax(dim=-1)
        agreed = (fed[:, 1:] == chosen[:, :-1]).int().cumprod(dim=1).sum(dim=1)
        behind = torch.arange(rows) > agreed[:, None]
        return RawStep(
            tokens=chosen.masked_fill(behind, PADDING).int(),
            next_positions=positions + agreed + 1,
            candidates=fed[:, 1:],
            logits=logits,
        )

    def _drafted(
        self, slots: torch.Tensor, tokens: torch.Tensor, positions: torch.Tensor, rows: int
    ) -> torch.Tensor:
        """[x0, d1 … d(k-1)], [B, k]. The k-th pass is made only for its cache."""
        columns = int(positions.max()) + rows
        prior = torch.arange(columns) < positions[:, None]
        fed = tokens[:, None]
        for i in range(rows):
            at = positions[:, None] + i
            logits = self._draft.logits(fed[:, -1:], Window(slots, at, columns), prior)
            fed = torch.cat((fed, logits.argmax(dim=-1)), dim=1)
            if self._shared_draft_mask:
                prior[:, at.flatten()] = True
            else:
                prior.scatter_(1, at, True)
        return fed[:, :-1]

    def release(self, slot: int) -> None:
        """Nothing to do: a slot is reused as it was left, as on the device."""

    def close(self) -> None:
        del self._target, self._draft

"""A fused model without weights: its next token follows from all that its slot holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from neuron.plugin.fused import (
    Feed,
    Limits,
    Prefilled,
    Stepped,
    check_feeds,
    check_prompt,
)

STALE = -7
Draft = Callable[[Sequence[int]], int]


def toy_logits(tokens: Sequence[int], vocab: int) -> torch.Tensor:
    """[vocab], pseudo-random in the whole past."""
    seed = hash(tuple(tokens)) % (1 << 31)
    return torch.randn(vocab, generator=torch.Generator().manual_seed(seed)) * 2


def toy_draft(tokens: Sequence[int]) -> int:
    """Right in two of three places."""
    best = int(toy_logits(tokens, 16).argmax())
    return best if hash(tuple(tokens[-3:])) % 3 else (best + 1) % 16


class ToyFused:
    """Slots are lists that are overwritten and never cleared, so that a wrong position, a slot
    given away too early or one read too far gives wrong tokens."""

    def __init__(self, limits: Limits, draft: Draft = toy_draft) -> None:
        self.limits = limits
        self._draft = draft
        self.slots = [[STALE] * limits.max_len for _ in range(limits.slots)]
        self.released: list[int] = []
        self.steps: list[tuple[int, list[Feed]]] = []
        self.closed = False

    def load(self) -> Limits:
        return self.limits

    def prefill(self, slot: int, tokens: Sequence[int], *, logits: bool = False) -> Prefilled:
        check_prompt(self.limits, slot, tokens)
        self.slots[slot][: len(tokens)] = tokens
        row = toy_logits(tokens, self.limits.vocab)
        return Prefilled(int(row.argmax()), row if logits else None)

    def step(self, feeds: Sequence[Feed], rows: int) -> list[Stepped]:
        check_feeds(self.limits, feeds, rows)
        self.steps.append((rows, list(feeds)))
        return [self._one(feed, rows) for feed in feeds]

    def release(self, slot: int) -> None:
        self.released.append(slot)

    def close(self) -> None:
        self.closed = True

    def _one(self, feed: Feed, rows: int) -> Stepped:
        past = self.slots[feed.slot][: feed.position]
        fed = [feed.token]
        while len(fed) < rows:
            fed.append(self._draft([*past, *fed]))
        self.slots[feed.slot][feed.position : feed.position + rows] = fed
        logits = torch.stack(
            [toy_logits([*past, *fed[: i + 1]], self.limits.vocab) for i in range(rows)]
        )
        chosen = logits.argmax(dim=1).tolist()
        agreed = 0
        while agreed < rows - 1 and fed[agreed + 1] == chosen[agreed]:
            agreed += 1
        return Stepped(
            tuple(chosen[: agreed + 1]),
            candidates=tuple(fed[1:]) if feed.logits else None,
            logits=logits if feed.logits else None,
        )

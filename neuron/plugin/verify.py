"""Which of a step's candidates stand, decided on the host from the target's logits.

The draft proposes one token per row and no distribution. Speculative sampling for such a draft
accepts candidate d with the target's probability p(d) and draws from p without d otherwise, which
is the same as drawing t from p and accepting while t = d. So each row is sampled as plain
generation would sample it, with one number drawn per emitted token: not only is the distribution
the target's own, but a seed gives the same tokens at every K, with any draft, in any batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from neuron.plugin.sampling import NEVER, Chooser


@dataclass(frozen=True)
class Logprobs:
    """Of one token: itself first, then the likeliest in order."""

    tokens: torch.Tensor
    """[1 + n]"""
    values: torch.Tensor
    """[1 + n] natural logarithms, before temperature and penalties, after the grammar."""
    rank: int
    """Of the token itself; the likeliest has 1."""


@dataclass(frozen=True)
class Verified:
    tokens: tuple[int, ...]
    """At least one: the accepted candidates and one token more."""
    logprobs: tuple[Logprobs, ...] = ()
    """One per token where the request asked for them."""


def verify(
    logits: torch.Tensor,
    candidates: Sequence[int],
    chooser: Chooser,
    *,
    limit: int,
    allowed: torch.Tensor | None = None,
) -> Verified:
    """Rows [k, vocab] with candidates d1 … d(k-1) into 1 to `limit` tokens.

    `allowed` [k, vocab] is the grammar's say on row i after d1 … di; rows behind a candidate that
    it forbids are not looked at. The tokens are added to the chooser's history.
    """
    tokens: list[int] = []
    logprobs: list[Logprobs] = []
    for i in range(min(limit, logits.shape[0])):
        row = logits[i] if allowed is None else logits[i].masked_fill(~allowed[i], NEVER)
        token = chooser.choose(row)
        chooser.history.add(token)
        tokens.append(token)
        if chooser.sampling.logprobs is not None:
            logprobs.append(report(row, token, chooser.sampling.logprobs))
        if i >= len(candidates) or token != candidates[i]:
            break
    return Verified(tuple(tokens), tuple(logprobs))


def report(row: torch.Tensor, token: int, count: int) -> Logprobs:
    """Logits [vocab] into the log-probability of `token` and of the `count` likeliest."""
    values = row.log_softmax(dim=-1)
    best = values.topk(values.shape[0] if count < 0 else count)
    own = values[token]
    return Logprobs(
        tokens=torch.cat((torch.tensor([token]), best.indices)),
        values=torch.cat((own[None], best.values)),
        rank=int((values >= own).sum()),
    )


def unpacked(words: NDArray[np.int32], vocab: int) -> torch.Tensor:
    """A grammar's bit mask [rows, ceil(vocab / 32)] as bool [rows, vocab]."""
    bits = np.unpackbits(np.ascontiguousarray(words).view(np.uint8), axis=-1, bitorder="little")
    return torch.from_numpy(bits[:, :vocab]).bool()

"""What a request asks of the choice of its next token, and that choice for one row of logits.

The arithmetic and its order are those of vLLM 0.16 (v1/sample/sampler.py), so that a seeded
request gets the tokens that vLLM's own sampler would give it without speculation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from vllm.sampling_params import SamplingParams

GREEDY_BELOW = 1e-5
"""A temperature below this is greedy, as in vLLM."""
NEVER = float("-inf")


@dataclass(frozen=True)
class Sampling:
    temperature: float = 0.0
    top_k: int = 0
    """0: all tokens."""
    top_p: float = 1.0
    min_p: float = 0.0
    presence: float = 0.0
    frequency: float = 0.0
    repetition: float = 1.0
    seed: int | None = None
    min_tokens: int = 0
    stop_ids: frozenset[int] = frozenset()
    """Not to be chosen before `min_tokens`."""
    bias: tuple[tuple[int, float], ...] = ()
    """Tokens and what is added to their logits."""
    allowed: tuple[int, ...] | None = None
    """None: all."""
    banned: tuple[tuple[int, ...], ...] = ()
    """Token sequences whose last token may not complete them."""
    logprobs: int | None = None
    """How many of the likeliest to report with each token; -1: all; None: nothing."""
    grammar: bool = False

    @classmethod
    def of(cls, params: SamplingParams) -> Sampling:
        return cls(
            temperature=params.temperature,
            top_k=max(params.top_k, 0),
            top_p=params.top_p,
            min_p=params.min_p,
            presence=params.presence_penalty,
            frequency=params.frequency_penalty,
            repetition=params.repetition_penalty,
            seed=params.seed,
            min_tokens=params.min_tokens,
            stop_ids=frozenset(params.all_stop_token_ids),
            bias=tuple((params.logit_bias or {}).items()),
            allowed=tuple(params.allowed_token_ids) if params.allowed_token_ids else None,
            banned=tuple(tuple(word) for word in params.bad_words_token_ids or ()),
            logprobs=params.logprobs,
            grammar=params.structured_outputs is not None,
        )

    @property
    def greedy(self) -> bool:
        return self.temperature < GREEDY_BELOW

    @property
    def penalised(self) -> bool:
        return bool(self.presence or self.frequency or self.repetition != 1.0)

    @property
    def on_device(self) -> bool:
        """Whether the graph's own greedy choice is the answer, so that no logits are needed."""
        return (
            self.greedy
            and not self.penalised
            and not self.min_tokens
            and not self.bias
            and not self.banned
            and self.allowed is None
            and self.logprobs is None
            and not self.grammar
        )


@dataclass
class History:
    """The tokens of one sequence, as far as they bear on its next one."""

    prompt: Sequence[int]
    vocab: int
    output: list[int] = field(default_factory=list)
    _counts: torch.Tensor | None = None
    _seen: torch.Tensor | None = None

    def add(self, token: int) -> None:
        self.output.append(token)
        if self._counts is not None and self._seen is not None:
            self._counts[token] += 1
            self._seen[token] = True

    def counts(self) -> tuple[torch.Tensor, torch.Tensor]:
        """[vocab] times in the output; [vocab] whether in the prompt or the output."""
        if self._counts is None or self._seen is None:
            output = torch.tensor(self.output, dtype=torch.long)
            self._counts = torch.bincount(output, minlength=self.vocab).float()
            self._seen = self._counts > 0
            self._seen[torch.tensor(list(self.prompt), dtype=torch.long)] = True
        return self._counts, self._seen


class Chooser:
    """Chooses one sequence's tokens, one after the other."""

    def __init__(self, sampling: Sampling, history: History, generator: torch.Generator) -> None:
        self.sampling = sampling
        self.history = history
        self._generator = generator

    def choose(self, row: torch.Tensor) -> int:
        """The next token for float32 logits [vocab]. Draws noise once unless greedy."""
        constrained = self._constrained(row)
        if self.sampling.greedy:
            return int(constrained.argmax())
        probabilities = shaped(constrained, self.sampling).softmax(dim=-1)
        noise = torch.empty_like(probabilities).exponential_(generator=self._generator)
        return int(probabilities.div_(noise).argmax())

    def _constrained(self, row: torch.Tensor) -> torch.Tensor:
        sampling, output = self.sampling, self.history.output
        row = row.clone()
        if sampling.allowed is not None:
            kept = row[list(sampling.allowed)]
            row.fill_(NEVER)
            row[list(sampling.allowed)] = kept
        for *before, last in sampling.banned:
            if not before or output[-len(before) :] == before:
                row[last] = NEVER
        if len(output) < sampling.min_tokens:
            row[list(sampling.stop_ids)] = NEVER
        for token, bias in sampling.bias:
            row[token] += bias
        if sampling.penalised:
            counts, seen = self.history.counts()
            repeated = torch.where(row > 0, row / sampling.repetition, row * sampling.repetition)
            row = torch.where(seen, repeated, row)
            row -= sampling.frequency * counts
            row -= sampling.presence * (counts > 0)
        return row


def shaped(row: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """Logits [vocab] after temperature, min-p, top-k and top-p; what may not be drawn is -inf."""
    row = row / sampling.temperature
    if sampling.min_p:
        probabilities = row.softmax(dim=-1)
        row = row.masked_fill(probabilities < probabilities.max() * sampling.min_p, NEVER)
    if 0 < sampling.top_k < row.shape[0]:
        row = row.masked_fill(row < row.topk(sampling.top_k).values[-1], NEVER)
    if sampling.top_p < 1.0:
        ascending, order = row.sort()
        below = ascending.softmax(dim=-1).cumsum(dim=-1) <= 1 - sampling.top_p
        # The likeliest stays even if rounding says that it is below.
        below[-1] = False
        row = row.scatter(0, order, ascending.masked_fill(below, NEVER))
    return row

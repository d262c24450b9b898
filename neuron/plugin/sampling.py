"""What a request asks of the choice of its next token, and that choice for one row of logits.

The arithmetic and its order are those of vLLM 0.16 (v1/sample/sampler.py); tests hold the two
together. Only the draw is another: one uniform number per token instead of one per token of the
vocabulary, and no sort of the vocabulary for top-p, since a host has to do it for every row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from vllm.sampling_params import SamplingParams

GREEDY_BELOW = 1e-5
"""A temperature below this is greedy, as in vLLM."""
NEVER = float("-inf")
UNLIKELY = 1e-5
"""Probability below which a token is sorted for top-p only if the others do not suffice."""


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
        structured = params.structured_outputs
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
            grammar=structured is not None and not structured.all_constraints_none(),
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


class History:
    """The tokens of one sequence, as far as they bear on its next one."""

    def __init__(self, prompt: Sequence[int]) -> None:
        self.output: list[int] = []
        self._prompt = dict.fromkeys(prompt, 0)
        self._counts: dict[int, int] = {}

    def add(self, token: int) -> None:
        self.output.append(token)
        self._counts[token] = self._counts.get(token, 0) + 1

    def counts(self, *, with_prompt: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """[n] distinct tokens and [n] how often each is in the output; 0 for a prompt's own."""
        counts = {**self._prompt, **self._counts} if with_prompt else self._counts
        return torch.tensor(list(counts), dtype=torch.long), torch.tensor(list(counts.values()))


class Chooser:
    """Chooses one sequence's tokens, one after the other."""

    def __init__(self, sampling: Sampling, history: History, generator: torch.Generator) -> None:
        self.sampling = sampling
        self.history = history
        self._generator = generator

    def choose(self, row: torch.Tensor) -> int:
        """The next token for float32 logits [vocab]. Draws one number unless greedy."""
        constrained = self.constrained(row)
        if not torch.isfinite(constrained.max()):
            # A grammar and the request's own lists may leave nothing: the grammar goes first.
            constrained = row
        if self.sampling.greedy or not torch.isfinite(constrained.max()):
            return int(constrained.argmax())
        tokens, probabilities = distribution(constrained, self.sampling)
        upto = probabilities.cumsum(dim=0)
        number = torch.rand((), dtype=torch.float64, generator=self._generator)
        at = torch.searchsorted(upto, number * upto[-1], right=True)
        # Where rounding carries the product up to the sum: the last that has any probability.
        at = torch.minimum(at, torch.searchsorted(upto, upto[-1]))
        return int(at if tokens is None else tokens[at])

    def constrained(self, row: torch.Tensor) -> torch.Tensor:
        """Logits [vocab] after everything that bears on greedy choice too; -inf: impossible."""
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
            # A client may name any number as a stop token.
            row[[token for token in sampling.stop_ids if 0 <= token < row.shape[0]]] = NEVER
        for token, bias in sampling.bias:
            row[token] += bias
        if sampling.penalised:
            self._penalise(row)
        return row

    def _penalise(self, row: torch.Tensor) -> None:
        sampling = self.sampling
        tokens, counts = self.history.counts(with_prompt=sampling.repetition != 1.0)
        seen = row[tokens]
        seen = torch.where(seen > 0, seen / sampling.repetition, seen * sampling.repetition)
        seen -= sampling.frequency * counts
        seen -= sampling.presence * (counts > 0)
        row[tokens] = seen


def distribution(row: torch.Tensor, sampling: Sampling) -> tuple[torch.Tensor | None, torch.Tensor]:
    """Logits [vocab] after temperature, min-p, top-k and top-p, in this order.

    Returns [n] tokens in ascending order, None for all of the vocabulary, and [n] float64
    probabilities.
    """
    values = row / sampling.temperature
    tokens = None
    if sampling.min_p:
        tokens, values = _where(values >= values.max() + math.log(sampling.min_p), tokens, values)
    if 0 < sampling.top_k < values.shape[0]:
        tokens, values = _where(values >= values.topk(sampling.top_k).values[-1], tokens, values)
    if sampling.top_p < 1.0:
        tokens, values = _where(_nucleus(values.softmax(dim=0), sampling.top_p), tokens, values)
    return tokens, values.softmax(dim=0).double()


def _where(
    kept: torch.Tensor, tokens: torch.Tensor | None, values: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    places = kept.nonzero()[:, 0]
    return (places if tokens is None else tokens[places]), values[places]


def _nucleus(probabilities: torch.Tensor, top_p: float) -> torch.Tensor:
    """[n] bool: whether less than `top_p` lies in likelier ones. The likeliest always is in."""
    likely = probabilities >= UNLIKELY
    # The likely ones nearly always hold the mass asked for; else all have to be sorted.
    if float(probabilities[likely].sum()) <= top_p:
        likely = torch.ones_like(likely)
    places = likely.nonzero()[:, 0]
    order = probabilities[places].argsort(descending=True, stable=True)
    ranked = probabilities[places[order]]
    inside = ranked.cumsum(dim=0) - ranked < top_p
    inside[0] = True
    kept = torch.zeros_like(likely)
    kept[places[order[inside]]] = True
    return kept

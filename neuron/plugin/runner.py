"""Sequences in slots: turns what a scheduler wants next into prefills and fused steps.

Knows nothing of vLLM. A sequence keeps its slot from its prefill until it is finished; what it
emits is either the graph's greedy choice or, where a request asks for more, the host's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from neuron.plugin.fused import ContractError, Feed, FusedModel, Limits, Prefilled, Stepped
from neuron.plugin.pace import Pace
from neuron.plugin.sampling import Chooser, History, Sampling
from neuron.plugin.verify import Logprobs, verify


class Masks(Protocol):
    def rows(self, request_id: str, candidates: Sequence[int]) -> torch.Tensor:
        """What the request's grammar allows first and then after each candidate.

        Bool [1 + len(candidates), vocab]; rows behind a forbidden candidate mean nothing.
        """
        ...


@dataclass(frozen=True)
class Arrival:
    request_id: str
    prompt: Sequence[int]
    sampling: Sampling


@dataclass(frozen=True)
class Batch:
    finished: Collection[str] = ()
    """Also of requests that never arrived here."""
    arrivals: Sequence[Arrival] = ()
    drafts: Mapping[str, int] | None = None
    """Sequences to go on, each with the number of drafts it may have at most."""


@dataclass(frozen=True)
class Decided:
    request_id: str
    tokens: tuple[int, ...]
    logprobs: tuple[Logprobs, ...] = ()


@dataclass
class _Sequence:
    slot: int
    chooser: Chooser | None
    """None: the graph's choice is the answer."""
    length: int
    """Tokens of prompt and output; the last one is in no cache yet."""
    last: int


@dataclass(frozen=True)
class _Answer:
    """What the model said for one sequence, before the host decides."""

    tokens: tuple[int, ...]
    candidates: tuple[int, ...]
    logits: torch.Tensor | None
    limit: int

    @classmethod
    def of_prefill(cls, prefilled: Prefilled) -> _Answer:
        logits = None if prefilled.logits is None else prefilled.logits[None]
        return cls((prefilled.token,), (), logits, limit=1)

    @classmethod
    def of_step(cls, stepped: Stepped, limit: int) -> _Answer:
        return cls(stepped.tokens, stepped.candidates or (), stepped.logits, limit)


class Runner:
    def __init__(
        self,
        model: FusedModel,
        limits: Limits,
        pace: Pace,
        *,
        seed: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model = model
        self._limits = limits
        self._pace = pace
        self._seeds = torch.Generator().manual_seed(seed)
        self._clock = clock
        self._free = list(reversed(range(limits.slots)))
        self._sequences: dict[str, _Sequence] = {}
        self._answers: dict[str, _Answer] = {}

    def run(self, batch: Batch) -> None:
        """Prefills one sequence after the other, then one step for all that go on."""
        for request_id in batch.finished:
            self._finish(request_id)
        for arrival in batch.arrivals:
            self._prefill(arrival)
        if batch.drafts:
            self._step(batch.drafts)

    def decide(self, masks: Masks | None = None) -> list[Decided]:
        """What the sequences of the last `run` emit, in the order in which they ran.

        `masks` must be there if one of them has a grammar.
        """
        answers, self._answers = self._answers, {}
        decided = [self._decide(request_id, answers[request_id], masks) for request_id in answers]
        for request_id, one in zip(answers, decided, strict=True):
            sequence = self._sequences[request_id]
            sequence.length += len(one.tokens)
            sequence.last = one.tokens[-1]
            drafted = answers[request_id].limit - 1
            if drafted:
                self._pace.accepted(request_id, drafted, len(one.tokens) - 1)
        return decided

    def next_drafts(self, request_ids: Collection[str]) -> int:
        """Drafts that each of these sequences should be given in their next step together."""
        return self._pace.rows(request_ids) - 1

    @property
    def waits_for_masks(self) -> bool:
        return any(
            chooser.sampling.grammar
            for request_id in self._answers
            if (chooser := self._sequences[request_id].chooser)
        )

    def _finish(self, request_id: str) -> None:
        sequence = self._sequences.pop(request_id, None)
        self._answers.pop(request_id, None)
        if sequence is not None:
            self._pace.forget(request_id)
            self._model.release(sequence.slot)
            self._free.append(sequence.slot)

    def _prefill(self, arrival: Arrival) -> None:
        if arrival.request_id in self._sequences:
            raise ContractError(
                f"Request {arrival.request_id} is scheduled from its start a second time, which "
                "slots that hold a whole sequence make needless: was it preempted?"
            )
        sampling, prompt = arrival.sampling, arrival.prompt
        if not self._free:
            raise ContractError(f"All {self._limits.slots} slots are taken; lower max_num_seqs.")
        prefilled = self._model.prefill(self._free[-1], prompt, logits=not sampling.on_device)
        slot = self._free.pop()
        chooser = None
        if not sampling.on_device:
            chooser = Chooser(sampling, History(prompt), self._generator(sampling))
        self._sequences[arrival.request_id] = _Sequence(slot, chooser, len(prompt), last=-1)
        self._answers[arrival.request_id] = _Answer.of_prefill(prefilled)

    def _step(self, drafts: Mapping[str, int]) -> None:
        wanted = 1 + max(drafts.values())
        rows = next(rows for rows in self._limits.row_choices if rows >= wanted)
        feeds = [self._feed(self._sequences[request_id]) for request_id in drafts]
        start = self._clock()
        stepped = self._model.step(feeds, rows)
        self._pace.took(rows, len(feeds), self._clock() - start)
        for (request_id, count), one in zip(drafts.items(), stepped, strict=True):
            self._answers[request_id] = _Answer.of_step(one, limit=1 + count)

    def _feed(self, sequence: _Sequence) -> Feed:
        return Feed(
            sequence.slot,
            sequence.last,
            position=sequence.length - 1,
            logits=sequence.chooser is not None,
        )

    def _decide(self, request_id: str, answer: _Answer, masks: Masks | None) -> Decided:
        chooser = self._sequences[request_id].chooser
        if chooser is None:
            return Decided(request_id, answer.tokens[: answer.limit])
        if answer.logits is None:
            raise ContractError("The model gave no logits for a sequence whose host decides.")
        candidates = answer.candidates[: answer.limit - 1]
        allowed = None
        if chooser.sampling.grammar:
            if masks is None:
                raise ContractError(f"Request {request_id} has a grammar, but no mask came.")
            allowed = masks.rows(request_id, candidates)
        verified = verify(answer.logits, candidates, chooser, limit=answer.limit, allowed=allowed)
        return Decided(request_id, verified.tokens, verified.logprobs)

    def _generator(self, sampling: Sampling) -> torch.Generator:
        seed = sampling.seed
        if seed is None:
            # Not the engine's own generator: what others in the batch draw must not matter.
            seed = int(torch.randint(1 << 62, (), generator=self._seeds))
        return torch.Generator().manual_seed(seed)

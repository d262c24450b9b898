"""The narrow protocol: what the engine asks of a draft and a target fused into one step.

A step of k rows takes the last token x0 of every sequence. The draft runs k times, each time on
the last candidate (its k-th pass only completes its cache), the target verifies
[x0, d1 … d(k-1)] at once, and 1 to k tokens leave. K, the number of drafts everywhere else in
this repository, is k - 1; `rows_for` and `Limits.num_draft_tokens` are the only conversion.

Source of the contract: NxDI 4bcdc54, models/model_base.py, NeuronFusedSpecModel, as read and as run
on a CPU (docs/nxdi.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from neuron.errors import SpecserveError

if TYPE_CHECKING:
    import torch

PADDING = -1
"""What fills the raw output behind the emitted tokens."""


class ContractError(SpecserveError):
    """A fused model answered what the contract does not allow, or was asked for it."""


@dataclass(frozen=True)
class Limits:
    """What a loaded model can do; fixed when it was compiled."""

    rows: int
    """k: candidates the target verifies in one step, the last emitted token among them."""
    slots: int
    """Sequences whose caches fit, one contiguous cache each; also the largest batch."""
    max_prompt: int
    """Tokens of the longest prompt that `prefill` takes."""
    max_len: int
    """Positions of a slot. A step of k rows at position p writes p … p + k - 1."""
    vocab: int
    logits: bool = True
    """False: compiled without logits, so that only the greedy on-device choice is there."""
    graphs: tuple[int, ...] = ()
    """Row counts that a step can be run at, ascending; empty: `rows` only."""

    def __post_init__(self) -> None:
        if self.rows < 2:
            raise ContractError(
                f"rows = {self.rows} drafts nothing; compile a fused model for at least 2."
            )
        if min(self.slots, self.max_prompt, self.vocab) < 1:
            raise ContractError(f"Every limit is at least 1, but the model states {self}.")
        if self.max_len <= self.rows or self.max_prompt > self.max_len:
            raise ContractError(
                f"max_len = {self.max_len} must exceed rows = {self.rows} and hold "
                f"max_prompt = {self.max_prompt}; compile for a longer sequence."
            )
        if self.graphs and (list(self.graphs) != sorted(set(self.graphs)) or self.graphs[0] < 1):
            raise ContractError(f"graphs = {self.graphs} is not ascending from at least 1.")
        if self.graphs and self.graphs[-1] != self.rows:
            raise ContractError(f"graphs = {self.graphs} must end in rows = {self.rows}.")

    @property
    def num_draft_tokens(self) -> int:
        """K: drafts proposed per step of the largest graph."""
        return self.rows - 1

    @property
    def row_choices(self) -> tuple[int, ...]:
        return self.graphs or (self.rows,)


@dataclass(frozen=True)
class Feed:
    """What one sequence brings into a step."""

    slot: int
    token: int
    """x0: its last token, chosen but not in any cache yet."""
    position: int
    """x0's position, which is the number of tokens in the slot's caches."""
    logits: bool = False
    """The host decides for this sequence, so `Stepped` must carry candidates and logits."""


@dataclass(frozen=True)
class Stepped:
    """What one sequence takes out of a step, in the order of the feeds."""

    tokens: tuple[int, ...]
    """1 to k tokens: the greedy choice made inside the graph, without padding."""
    candidates: tuple[int, ...] | None = None
    """d1 … d(k-1). With NxDI the argmax of the draft's logits, so only there with logits."""
    logits: torch.Tensor | None = None
    """The target's, float32 on the host, [k, vocab]; row i follows candidate i (row 0: x0)."""


@dataclass(frozen=True)
class Prefilled:
    token: int
    """The target's greedy first token."""
    logits: torch.Tensor | None = None
    """The target's at the prompt's last position, float32 on the host, [vocab]."""


class FusedModel(Protocol):
    """One draft and one target with one cache slot per sequence in each.

    A slot is written from position 0 by `prefill` and is not cleared in between: what an earlier
    sequence left behind its own positions stays there and must not be attended to. The next
    position is the caller's: whatever `Stepped.tokens` says, the caller may continue from any
    prefix of the verified candidates.
    """

    def load(self) -> Limits:
        """Compiles if there is no artefact, loads, and warms up. Called once, before the rest."""
        ...

    def prefill(self, slot: int, tokens: Sequence[int], *, logits: bool = False) -> Prefilled:
        """Encodes one prompt of 1 to `max_prompt` tokens into both caches of `slot`."""
        ...

    def step(self, feeds: Sequence[Feed], rows: int) -> list[Stepped]:
        """One fused step over 1 to `slots` distinct slots; `rows` is one of `row_choices`.

        Requires position + rows <= max_len for every feed: the graph clips nothing.
        """
        ...

    def release(self, slot: int) -> None:
        """The sequence in `slot` is gone; its cache may be overwritten."""
        ...

    def close(self) -> None:
        """Gives back memory and device. Nothing may be called afterwards."""
        ...


def rows_for(num_draft_tokens: int) -> int:
    """k for K drafts per step."""
    return num_draft_tokens + 1


def emitted(raw: Sequence[int]) -> tuple[int, ...]:
    """The tokens of one raw output row [k], without its padding. Raises ContractError."""
    count = next((i for i, token in enumerate(raw) if token == PADDING), len(raw))
    if count == 0 or any(token != PADDING for token in raw[count:]):
        raise ContractError(
            f"A raw output row is 1 to k tokens and then {PADDING}, but the model gave {list(raw)}."
        )
    return tuple(raw[:count])


def check_feeds(limits: Limits, feeds: Sequence[Feed], rows: int) -> None:
    """Raises ContractError where a step would break the contract."""
    slots = [feed.slot for feed in feeds]
    if not 0 < len(slots) <= limits.slots or len(set(slots)) != len(slots):
        raise ContractError(f"A step takes 1 to {limits.slots} distinct slots, not {slots}.")
    if rows not in limits.row_choices:
        raise ContractError(f"There is no graph of {rows} rows, only of {limits.row_choices}.")
    for feed in feeds:
        if not 0 <= feed.slot < limits.slots:
            raise ContractError(f"Slot {feed.slot} is not one of the {limits.slots} there are.")
        if not 0 < feed.position <= limits.max_len - rows:
            raise ContractError(
                f"Slot {feed.slot} at position {feed.position} has no room for {rows} rows in "
                f"max_len = {limits.max_len}."
            )
        if feed.logits and not limits.logits:
            raise ContractError("The model was compiled without logits; compile it with them.")


def check_prompt(limits: Limits, slot: int, tokens: Sequence[int]) -> None:
    """Raises ContractError where a prefill would break the contract."""
    if not 0 <= slot < limits.slots:
        raise ContractError(f"Slot {slot} is not one of the {limits.slots} there are.")
    if not 0 < len(tokens) <= limits.max_prompt:
        raise ContractError(
            f"A prompt has 1 to {limits.max_prompt} tokens here, not {len(tokens)}."
        )

"""Fewer drafts where that gives more tokens per second: decided per batch, from what was seen.

Lossless whatever it decides: rows only bound how many candidates a step verifies. It chooses among
the row counts that the model has a graph for, so it needs more than one of them.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from neuron.plugin.fused import Limits

FORGET = 0.95
"""Weight of the past per step: what is older than some 20 steps hardly counts."""
PRIOR_ACCEPTANCE = 0.8
PRIOR_WEIGHT = 2.0
"""Drafts' worth of belief in the prior, so that one unlucky step does not stop drafting."""
FIRST_STEPS = 3
"""At the most and then at the fewest rows for each batch size, so that costs can be told apart."""
PROBE_EVERY = 24
"""Steps after which a batch that does not draft drafts once: else it could never learn better."""


@dataclass
class Acceptance:
    """Of one sequence: the chance that a candidate is accepted if those before it were."""

    accepted: float = PRIOR_ACCEPTANCE * PRIOR_WEIGHT
    tried: float = PRIOR_WEIGHT

    def observe(self, drafted: int, accepted: int) -> None:
        # Behind the first rejected one nothing was tried.
        tried = min(accepted + 1, drafted)
        self.accepted = self.accepted * FORGET + accepted
        self.tried = self.tried * FORGET + tried

    def tokens(self, rows: int) -> float:
        """Expected from a step of this many rows."""
        chance = self.accepted / self.tried
        return sum(chance**i for i in range(rows))


@dataclass
class Cost:
    """Of a step at one batch size: a line through what steps of each row count took."""

    weight: float = 0.0
    rows: float = 0.0
    seconds: float = 0.0
    rows_rows: float = 0.0
    rows_seconds: float = 0.0
    steps: int = 0

    def observe(self, rows: int, seconds: float) -> None:
        self.weight = self.weight * FORGET + 1
        self.rows = self.rows * FORGET + rows
        self.seconds = self.seconds * FORGET + seconds
        self.rows_rows = self.rows_rows * FORGET + rows * rows
        self.rows_seconds = self.rows_seconds * FORGET + rows * seconds
        self.steps += 1

    def of(self, rows: int) -> float:
        """Seconds; the mean where only one row count was seen."""
        mean_rows, mean = self.rows / self.weight, self.seconds / self.weight
        spread = self.rows_rows / self.weight - mean_rows**2
        if spread < 1e-9:
            return mean
        slope = (self.rows_seconds / self.weight - mean_rows * mean) / spread
        # More rows are never cheaper, whatever the noise says; nor is any step free.
        return max(mean + max(slope, 0.0) * (rows - mean_rows), mean * 0.05)


class AdaptivePace:
    def __init__(self, limits: Limits) -> None:
        self._choices = limits.row_choices
        self._sequences: dict[str, Acceptance] = {}
        self._costs: dict[int, Cost] = {}
        self._undrafted = 0

    def rows(self, request_ids: Collection[str]) -> int:
        most, fewest = self._choices[-1], self._choices[0]
        cost = self._costs.get(len(request_ids))
        if cost is None or cost.steps < FIRST_STEPS:
            return most
        if cost.steps < 2 * FIRST_STEPS:
            return fewest
        if self._undrafted >= PROBE_EVERY:
            return most
        batch = [self._sequences.get(request_id, Acceptance()) for request_id in request_ids]
        return max(
            self._choices,
            key=lambda rows: sum(one.tokens(rows) for one in batch) / cost.of(rows),
        )

    def took(self, rows: int, sequences: int, seconds: float) -> None:
        self._costs.setdefault(sequences, Cost()).observe(rows, seconds)
        self._undrafted = self._undrafted + 1 if rows == 1 else 0

    def accepted(self, request_id: str, drafted: int, accepted: int) -> None:
        self._sequences.setdefault(request_id, Acceptance()).observe(drafted, accepted)

    def forget(self, request_id: str) -> None:
        self._sequences.pop(request_id, None)

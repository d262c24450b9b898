"""How many rows the next step should have."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from neuron.plugin.fused import Limits


class Pace(Protocol):
    def rows(self, request_ids: Collection[str]) -> int:
        """For a step of these sequences; one of the model's `row_choices`."""
        ...

    def took(self, rows: int, sequences: int, seconds: float) -> None: ...

    def accepted(self, request_id: str, drafted: int, accepted: int) -> None: ...

    def forget(self, request_id: str) -> None: ...


class FullPace:
    """Every step at the compiled k."""

    def __init__(self, limits: Limits) -> None:
        self._rows = limits.rows

    def rows(self, request_ids: Collection[str]) -> int:
        return self._rows

    def took(self, rows: int, sequences: int, seconds: float) -> None:
        """Not needed."""

    def accepted(self, request_id: str, drafted: int, accepted: int) -> None:
        """Not needed."""

    def forget(self, request_id: str) -> None:
        """Nothing is kept."""

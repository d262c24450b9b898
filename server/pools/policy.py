"""Which of the two pools serves a request that leaves the choice to the gateway."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from server.speculation import Answered, TrafficClass
from server.usage import Pool


class Choice(Protocol):
    @property
    def pool(self) -> Pool: ...

    @property
    def reason(self) -> str:
        """One of few words: it is a metric's label."""
        ...


class Policy(Protocol):
    def choose(
        self, cls: TrafficClass, *, load: Mapping[Pool, float], available: frozenset[Pool]
    ) -> Choice:
        """`load`: requests running per ready replica. `available` has both pools."""
        ...

    def observed(self, cls: TrafficClass, took: Answered) -> None:
        """An answer that was complete."""
        ...

    def snapshot(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Fixed:
    pool: Pool
    reason: str


@dataclass(frozen=True)
class FixedPolicy:
    """Always one pool, where both can serve."""

    pool: Pool

    def choose(
        self, cls: TrafficClass, *, load: Mapping[Pool, float], available: frozenset[Pool]
    ) -> Choice:
        return Fixed(self.pool, "configured")

    def observed(self, cls: TrafficClass, took: Answered) -> None:
        pass

    def snapshot(self) -> dict[str, Any]:
        return {"policy": "fixed", "pool": self.pool}

"""What K drafts per step are worth. K is ours: a step emits 1 to K+1 tokens."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from neuron.catalogue import Geometry
from neuron.cost.step import Model

Loop = Literal["nxdi", "generic"]
"""How a graph drafts: NxDI runs K+1 passes, of which the last only fills the draft's cache;
a generic loop runs K. Both verify K+1 rows."""

MAX_K = 15
"""NxDI's k is at most 16 here: neuron/plugin/nxdi_settings.py."""


def loop_of(stack: str) -> Loop:
    """The old fork fuses as NxDI does."""
    return "nxdi" if stack in ("nxdi", "legacy") else "generic"


def passes(k: int, loop: Loop) -> int:
    return k + 1 if loop == "nxdi" else k


def tokens_per_step(acceptance: float, k: int) -> float:
    """τ, the bonus token counted: Leviathan et al. 2023, equation 1, for independent drafts."""
    return float(sum(acceptance**i for i in range(k + 1)))


@dataclass(frozen=True)
class Setup:
    """Which models at which degree; `batch` is compiled, so unused slots cost time too."""

    target: Geometry
    draft: Geometry
    tp: int
    batch: int
    context: int


@dataclass(frozen=True)
class Costs:
    """Milliseconds of a setup's parts."""

    plain_ms: float
    """One step of the target without speculation, which is its TPOT."""
    draft_ms: float
    verify_ms: tuple[float, ...]
    """By K, from K = 0."""
    loop: Loop

    @classmethod
    def of(cls, model: Model, setup: Setup, *, loop: Loop = "nxdi", max_k: int = MAX_K) -> Costs:
        def target(rows: int) -> float:
            return model.step_ms(
                setup.target, setup.tp, batch=setup.batch, context=setup.context, rows=rows
            )

        return cls(
            plain_ms=target(1),
            draft_ms=model.step_ms(
                setup.draft, setup.tp, batch=setup.batch, context=setup.context, launched=False
            ),
            verify_ms=tuple(target(k + 1) for k in range(max_k + 1)),
            loop=loop,
        )

    def step_ms(self, k: int) -> float:
        """One step with K drafts, drafting included."""
        return passes(k, self.loop) * self.draft_ms + self.verify_ms[k]

    def tpot_ms(self, acceptance: float, k: int) -> float:
        return self.step_ms(k) / tokens_per_step(acceptance, k)

    def speedup(self, acceptance: float, k: int) -> float:
        return self.plain_ms / self.tpot_ms(acceptance, k)

    def best_k(self, acceptance: float, ks: Iterable[int] = range(1, MAX_K + 1)) -> int:
        """The K with the least time per token; it may still be slower than plain."""
        return min(ks, key=lambda k: self.tpot_ms(acceptance, k))

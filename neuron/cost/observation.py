"""A time that somebody measured, and what the model says for the same thing."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from neuron.catalogue import Geometry, catalogue
from neuron.cost.speculation import Costs, Loop, Setup
from neuron.cost.step import Model

PUBLISHED = Path(__file__).parent / "published.toml"


@dataclass(frozen=True)
class Observation:
    name: str
    target: Geometry
    tp: int
    batch: int
    context: int
    measured_ms: float
    """One step: of the target alone, or with `k` drafts where there is a draft."""
    source: str
    draft: Geometry | None = None
    k: int = 0
    loop: Loop = "nxdi"

    def modelled_ms(self, model: Model) -> float:
        if self.draft is None:
            return model.step_ms(self.target, self.tp, batch=self.batch, context=self.context)
        setup = Setup(self.target, self.draft, self.tp, self.batch, self.context)
        return Costs.of(model, setup, loop=self.loop, max_k=self.k).step_ms(self.k)

    def log_error(self, model: Model) -> float:
        return math.log(self.modelled_ms(model) / self.measured_ms)


def rms(errors: Sequence[float]) -> float:
    return math.sqrt(sum(error**2 for error in errors) / len(errors))


class _Point(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    id: str
    model: str
    tp: int
    batch: int
    context: int
    measured_ms: float
    source: str


@cache
def published() -> tuple[Observation, ...]:
    """Dense models on trn2, plain decoding: published.toml."""
    raw = tomllib.loads(PUBLISHED.read_text(encoding="utf-8"))
    shapes = {name: Geometry.model_validate(shape) for name, shape in raw["models"].items()}
    points = [_Point.model_validate(point) for point in raw["points"]]
    return tuple(
        Observation(
            name=point.id,
            target=shapes.get(point.model) or catalogue()[point.model.lower()],
            tp=point.tp,
            batch=point.batch,
            context=point.context,
            measured_ms=point.measured_ms,
            source=f"{point.model}, TP {point.tp}, batch {point.batch}: {point.source}",
        )
        for point in points
    )

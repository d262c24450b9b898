"""Refits the model: to what was published, and to our own results where there are any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from neuron.cost.observation import Observation, published, rms
from neuron.cost.parameters import Coefficients, Fitted, Hardware, Parameters
from neuron.cost.step import Model

FREE = tuple(Fitted.model_fields)
"""What is fitted; the rest is derived or assumed."""
PUBLISHED_SPREAD = 0.12
"""The fit's own rms log error over the published points: other people's models and harnesses."""
OWN_SPREAD = 0.02
"""Our own medians, with the steps of one engine behind them, are worth this much closer a look."""
FLOOR = 1e-3
"""Of a coefficient's start: the fit works on its multiple, which must stay positive."""


@dataclass(frozen=True)
class Move:
    name: str
    unit: str
    before: float
    after: float

    @property
    def share(self) -> float:
        return self.after / self.before - 1


@dataclass(frozen=True)
class Refit:
    parameters: Parameters
    moves: tuple[Move, ...]
    own: tuple[Observation, ...]
    before: Model
    after: Model

    def rms(self, model: Model) -> float:
        """Log error over our own results."""
        return rms([one.log_error(model) for one in self.own])


def fit(
    hardware: Hardware,
    start: Coefficients,
    others: Sequence[Observation],
    own: Sequence[Observation] = (),
) -> Coefficients:
    """Least squares on log errors, each divided by the spread of its kind."""
    from scipy.optimize import least_squares

    initial = [getattr(start, name).value for name in FREE]
    weighed = [
        *((one, 1 / PUBLISHED_SPREAD) for one in others),
        *((one, 1 / OWN_SPREAD) for one in own),
    ]

    def moved(multiples: Sequence[float]) -> Coefficients:
        pairs = zip(FREE, initial, multiples, strict=True)
        return start.changed(**{name: value * float(by) for name, value, by in pairs})

    def residuals(multiples: Sequence[float]) -> list[float]:
        model = Model(hardware, moved(multiples))
        return [one.log_error(model) * weight for one, weight in weighed]

    # A share of the bandwidth cannot pass 1.
    highest = [1 / start.eta.value, *(50.0 for _ in FREE[1:])]
    bounds = ([FLOOR] * len(FREE), highest)
    return moved(least_squares(residuals, [1.0] * len(FREE), bounds=bounds).x)


def leave_one_out(
    hardware: Hardware, start: Coefficients, own: Sequence[Observation] = ()
) -> dict[str, Fitted]:
    """The fitted values without each published point in turn."""
    found = {}
    for left_out in published():
        rest = [one for one in published() if one is not left_out]
        fitted = fit(hardware, start, rest, own)
        values = {name: float(f"{getattr(fitted, name).value:.6g}") for name in FREE}
        found[left_out.name] = Fitted(**values)
    return found


def refit(parameters: Parameters, own: Sequence[Observation], *, origin: str) -> Refit:
    """`own` must not be empty; `origin` is named as the source of the new values."""
    before = parameters.calibrated
    fitted = fit(parameters.hardware, before, published(), own)
    source = f"refitted to {origin} and the published points"
    named = {
        name: getattr(fitted, name).model_copy(update={"status": "fitted", "source": source})
        for name in FREE
    }
    after = fitted.model_copy(update=named)
    moves = tuple(
        Move(name, old.unit, old.value, getattr(after, name).value)
        for name in FREE
        for old in [getattr(before, name)]
    )
    changed = parameters.model_copy(
        update={
            "calibrated": after,
            "leave_one_out": leave_one_out(parameters.hardware, after, own),
        }
    )
    return Refit(
        parameters=changed,
        moves=moves,
        own=tuple(own),
        before=Model(parameters.hardware, before),
        after=Model(parameters.hardware, after),
    )

"""Values on the command line that carry a unit or are several."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import click

MS = {"us": 1e-3, "µs": 1e-3, "ms": 1.0, "s": 1e3}
PER_S = {"s": 1.0, "min": 1 / 60, "h": 1 / 3600}
NUMBER = r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)"


class _Quantity(click.ParamType[float]):
    """A number above 0 with a unit, to the unit whose factor is 1."""

    factors: Mapping[str, float]
    between: str = ""
    """What stands between number and unit, as a regular expression."""
    example: str

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        units = "|".join(self.factors)
        found = re.fullmatch(rf"{NUMBER}\s*{self.between}({units})", str(value).strip())
        if found is None or not 0 < float(found[1]) < math.inf:
            self.fail(
                f"{value!r} is no {self.name} above 0: write it with a unit, as {self.example}.",
                param,
                ctx,
            )
        return float(found[1]) * self.factors[found[2]]


class Duration(_Quantity):
    """To milliseconds."""

    name, factors, example = "duration", MS, "15ms"


class Rate(_Quantity):
    """To requests per second."""

    name, factors, between, example = "rate", PER_S, r"/\s*", "20/s"


class Counts(click.ParamType[tuple[int, ...]]):
    """Positive whole numbers with commas between."""

    name = "n,n,…"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        parts = [part.strip() for part in str(value).split(",")]
        if not all(re.fullmatch("[0-9]{1,9}", part) and int(part) for part in parts):
            self.fail(
                f"{value!r} is no list of whole numbers above 0: write 4 or 1,4,16.", param, ctx
            )
        return tuple(int(part) for part in parts)


class Finite(click.FloatRange):
    """A range that NaN is outside of, as no comparison says."""

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        try:
            number = float(str(value))
        except ValueError:
            self.fail(f"{value!r} is no number.", param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is no number to compute with.", param, ctx)
        return float(super().convert(number, param, ctx))

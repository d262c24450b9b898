"""The numbers the model computes with, each with its source and status: parameters.toml."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from neuron.errors import PairError

PARAMETERS = Path(__file__).parent / "parameters.toml"

Status = Literal["published", "derived", "fitted", "assumed"]
Share = Annotated[float, Field(ge=0, le=1)]


class Data(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Parameter(Data):
    value: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    unit: str
    status: Status
    source: str


class Hardware(Data):
    """Of one logical core at LNC 2."""

    bw_core: Parameter
    hbm_core: Parameter
    overhead: Parameter
    overhead_least: Parameter


class Coefficients(Data):
    """One set: the symbols of docs/plan.md in its units (µs, GB/s, shares)."""

    eta: Parameter
    eta_kv: Parameter
    t0: Parameter
    l0: Parameter
    kappa_b: Parameter
    kappa_t: Parameter
    a0: Parameter
    a1: Parameter
    bw_ar: Parameter
    pe_ghz: Parameter
    fill: Parameter

    def changed(self, **values: float) -> Self:
        """The same set with other values; what was known of the old ones is kept."""
        update = {
            name: getattr(self, name).model_copy(update={"value": value})
            for name, value in values.items()
        }
        return self.model_copy(update=update)


class Instance(Data):
    cores: Parameter
    price: Parameter


class Workload(Data):
    acceptance: Annotated[list[Share], Field(min_length=2, max_length=2)]
    """Low and high end of what is expected."""
    prompt_tokens: Annotated[int, Field(gt=0)]
    output_tokens: Annotated[int, Field(gt=1)]
    status: Status
    source: str


class Fitted(Data):
    """What is fitted, in the units of the set it replaces a part of."""

    eta: float
    t0: float
    l0: float
    kappa_b: float


class Parameters(Data):
    hardware: Hardware
    calibrated: Coefficients
    optimised: Coefficients
    roofline: Coefficients
    leave_one_out: dict[str, Fitted] = {}
    """By the published point left out: the values refitted without it."""
    instances: dict[str, Instance]
    workloads: dict[str, Workload]

    def to_toml(self) -> str:
        # A JSON string is a TOML string, and a list of numbers is the same in both.
        lines: list[str] = []
        for table, fields in _tables(self.model_dump(), ()):
            lines.append(f"\n[{'.'.join(json.dumps(part) for part in table)}]\n")
            lines.extend(f"{key} = {_value(value)}\n" for key, value in fields.items())
        return "".join(lines).lstrip()


@cache
def shipped() -> Parameters:
    return load_parameters(PARAMETERS)


def load_parameters(path: Path) -> Parameters:
    """Raises PairError for a file that cannot be read or holds something else."""
    try:
        return Parameters.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise PairError(f"{path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PairError(f"{path} is not valid TOML: {error}.") from error
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(map(str, fault["loc"]))
        raise PairError(
            f"Key {key!r} in {path}: {fault['msg']}; `neuron plan --calibrate … "
            "--write-parameters FILE` writes a whole file."
        ) from error


def _is_leaf(value: object) -> bool:
    return not isinstance(value, Mapping) or "value" in value


def _tables(
    node: Mapping[str, Any], path: tuple[str, ...]
) -> list[tuple[tuple[str, ...], Mapping[str, Any]]]:
    leaves = {key: value for key, value in node.items() if _is_leaf(value)}
    inner = [
        table
        for key, value in node.items()
        if not _is_leaf(value)
        for table in _tables(value, (*path, key))
    ]
    return [*([(path, leaves)] if leaves else []), *inner]


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        inside = ", ".join(f"{key} = {_value(inner)}" for key, inner in value.items())
        return f"{{ {inside} }}"
    return json.dumps(value, ensure_ascii=False)

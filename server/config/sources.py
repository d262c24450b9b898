"""Where settings come from: flags before variables before the file, merged key by key."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, TomlConfigSettingsSource
from pydantic_settings.exceptions import SettingsError as SourceError

from neuron.errors import SpecserveError

PREFIX = "SPECSERVE_"
INNER = "__"
FILE_VARIABLE = PREFIX + "CONFIG"
# Read by other programs of this repository.
FOREIGN = frozenset({"SPECSERVE_HOME", "SPECSERVE_STORE", "SPECSERVE_UPDATE_GOLDEN"})
# Kubernetes gives every pod variables for each Service: for one named specserve, these.
SERVICE_LINK = re.compile(
    PREFIX + r"([A-Z0-9_]+_)?"
    r"(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
SERVICE_LINK_SCHEMES = ("tcp://", "udp://", "sctp://")


class SettingsError(SpecserveError):
    exit_code = 2


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def variable(*path: str) -> str:
    return PREFIX + INNER.join(path).upper()


def section_of(annotation: object) -> type[BaseModel] | None:
    """The model of a section, or of the tables in a list of them; None for a plain key."""
    for one in (annotation, *get_args(annotation)):
        if isinstance(one, type) and issubclass(one, BaseModel):
            return one
    return None


def is_list(annotation: object) -> bool:
    return get_origin(annotation) is tuple


def is_section(model: type[BaseModel], name: str) -> bool:
    return section_of(model.model_fields[name].annotation) is not None


def layers(
    model: type[BaseSettings],
    given: Mapping[str, Any],
    environ: Mapping[str, str],
    file: Path | None,
) -> tuple[Mapping[str, Any], ...]:
    """What flags, variables and the file say, the strongest first. Raises SettingsError."""
    return given, _from_environment(model, environ), {} if file is None else _read(model, file)


def merged(found: tuple[Mapping[str, Any], ...]) -> dict[str, Any]:
    whole: dict[str, Any] = {}
    for layer in reversed(found):
        for name, value in layer.items():
            below = whole.get(name)
            both = isinstance(value, Mapping) and isinstance(below, Mapping)
            whole[name] = merged((value, below)) if both else value  # type: ignore[arg-type]
    return whole


def sentence(
    model: type[BaseModel],
    error: ValidationError,
    found: tuple[Mapping[str, Any], ...],
    file: Path | None,
) -> str:
    """One fault at a time, unknown keys first: a misspelt key also shows up as a missing one."""
    faults = sorted(
        error.errors(include_url=False), key=lambda fault: fault["type"] != "extra_forbidden"
    )
    fault = faults[0]
    path = tuple(str(part) for part in fault["loc"])
    text = fault["msg"].removeprefix("Value error, ")
    if not path:
        return f"{text}."
    if fault["type"] == "extra_forbidden":
        where = file if _from_file(path, found, file) else variable(path[0])
        return f"Unknown key {'.'.join(path)!r} in {where}; {_near(path[-1], _keys(model, path))}"
    if fault["type"] == "missing":
        text = "it is missing"
    return f"{_named(path, found, file)}: {text}."


def _named(path: tuple[str, ...], found: tuple[Mapping[str, Any], ...], file: Path | None) -> str:
    """A setting as whoever set it calls it."""
    if _from_file(path, found, file):
        return f"Key {'.'.join(path)!r} in {file}"
    return variable(*path) if len(path) > 1 else f"{flag(path[0])} ({variable(path[0])})"


def _from_file(
    path: tuple[str, ...], found: tuple[Mapping[str, Any], ...], file: Path | None
) -> bool:
    return file is not None and not any(_has(layer, path) for layer in found[:-1])


def _has(layer: Mapping[str, Any], path: tuple[str, ...]) -> bool:
    at: object = layer
    for part in path:
        if not isinstance(at, Mapping):
            return True
        if part not in at:
            return False
        at = at[part]
    return True


def _keys(model: type[BaseModel], path: tuple[str, ...]) -> list[str]:
    """The keys that are known where `path` ends."""
    at = model
    for part in path[:-1]:
        # The index of a table in a list is no field.
        if part in at.model_fields and is_section(at, part):
            at = section_of(at.model_fields[part].annotation) or at
    return list(at.model_fields)


def _near(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}."


class _Environment(EnvSettingsSource):
    def __init__(self, model: type[BaseSettings], environ: Mapping[str, str]) -> None:
        self._environ = environ
        super().__init__(model, env_prefix=PREFIX, env_nested_delimiter=INNER)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name.lower(): value for name, value in self._environ.items()}


def _from_environment(model: type[BaseSettings], environ: Mapping[str, str]) -> Mapping[str, Any]:
    ours = {
        key: value
        for key, value in environ.items()
        if key.startswith(PREFIX) and not _is_service_link(key, value)
    }
    _refuse_unknown(ours, {*_variables(model), FILE_VARIABLE, *FOREIGN})
    try:
        return _Environment(model, ours)()
    except SourceError as error:
        raise SettingsError(
            f"A variable that holds a list or a table must be JSON: {error}."
        ) from error


def _variables(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield variable(name)
        section = section_of(field.annotation)
        if section is not None and not is_list(field.annotation):
            yield from (variable(name, inner) for inner in section.model_fields)


def _is_service_link(key: str, value: str) -> bool:
    if SERVICE_LINK.fullmatch(key):
        return True
    return key.endswith("_PORT") and value.startswith(SERVICE_LINK_SCHEMES)


def _refuse_unknown(ours: Mapping[str, str], known: set[str]) -> None:
    for key in sorted(ours):
        if key not in known:
            near = difflib.get_close_matches(key, sorted(known), n=1)
            hint = f"did you mean {near[0]}?" if near else "unset it."
            raise SettingsError(f"Unknown environment variable {key}; {hint}")


def _read(model: type[BaseSettings], file: Path) -> Mapping[str, Any]:
    if not file.is_file():
        raise SettingsError(f"--config ({FILE_VARIABLE}): there is no file {file}.")
    try:
        return TomlConfigSettingsSource(model, toml_file=file)()
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} is not valid TOML: {error}.") from error
    except OSError as error:
        raise SettingsError(f"{file} cannot be read: {error.strerror}.") from error

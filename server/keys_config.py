"""Keys as they are written down: TOML, the same from a file, the environment or AWS.

[[keys]]
name = "team-a"
hash = "sha256:…"
requests_per_minute = 600
"""

from __future__ import annotations

import tomllib
from collections import Counter
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from neuron.errors import SpecserveError
from server.keys import ANONYMOUS, KeyEntry, KeyRing


class KeysError(SpecserveError):
    exit_code = 2


class KeysConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    keys: tuple[KeyEntry, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        for what in ("name", "hash"):
            counts = Counter(getattr(entry, what) for entry in self.keys)
            value, count = counts.most_common(1)[0]
            if count > 1:
                raise ValueError(f"{what} {value!r} is there {count} times")
        if any(entry.name == ANONYMOUS.name for entry in self.keys):
            raise ValueError(f"the name {ANONYMOUS.name!r} is taken; choose another")
        return self

    def ring(self) -> KeyRing:
        return KeyRing(self.keys)


def parse_keys(text: str, source: str) -> KeyRing:
    """`source` is for the error. Raises KeysError, which never repeats a value."""
    try:
        return KeysConfig.model_validate(tomllib.loads(text)).ring()
    except tomllib.TOMLDecodeError as error:
        raise KeysError(f"{source} is no valid TOML: {error}.") from error
    except ValidationError as error:
        raise KeysError(f"{source}: {why(error)}.") from error


def why(error: ValidationError) -> str:
    """The first fault, without the value."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    text = first["msg"].removeprefix("Value error, ")
    return f"{where}: {text}" if where else text

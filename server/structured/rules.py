"""What one piece of text, or one list of calls, must be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NoReturn, Protocol

from server.structured.fault import Fault, Kind
from server.structured.limits import matches_all
from server.structured.schema import Schema


class TextRule(Protocol):
    kind: ClassVar[Kind]
    json: ClassVar[bool]

    def fault(self, text: str) -> Fault | None:
        """Within server.structured.limits."""
        ...


@dataclass(frozen=True)
class JsonObject:
    kind: ClassVar[Kind] = "json_object"
    json: ClassVar[bool] = True

    def fault(self, text: str) -> Fault | None:
        value = parsed(text)
        if isinstance(value, Fault):
            return value
        return None if isinstance(value, dict) else Fault("schema", "it is JSON, but no object")


@dataclass(frozen=True)
class JsonSchema:
    schema: Schema
    kind: ClassVar[Kind] = "json_schema"
    json: ClassVar[bool] = True

    def fault(self, text: str) -> Fault | None:
        value = parsed(text)
        if isinstance(value, Fault):
            return value
        why = self.schema.fault(value)
        return None if why is None else Fault("schema", why)


@dataclass(frozen=True)
class Choice:
    options: frozenset[str]
    kind: ClassVar[Kind] = "choice"
    json: ClassVar[bool] = False

    def fault(self, text: str) -> Fault | None:
        if text in self.options:
            return None
        return Fault("choice", f"{text[:80]!r} is none of the choices")


@dataclass(frozen=True)
class Pattern:
    pattern: str
    kind: ClassVar[Kind] = "regex"
    json: ClassVar[bool] = False

    def fault(self, text: str) -> Fault | None:
        if matches_all(self.pattern, text):
            return None
        return Fault("regex", f"{text[:80]!r} does not match the pattern")


@dataclass(frozen=True)
class Call:
    name: str
    arguments: str


@dataclass(frozen=True)
class ToolRule:
    required: bool
    """At least one call."""
    only: str | None
    """The one function that may be called."""
    functions: Mapping[str, Schema | None]
    """All that exist; with a schema where the arguments are held to it."""

    def fault(self, calls: tuple[Call, ...]) -> Fault | None:
        if self.required and not calls:
            return Fault("no_call", f"it does not call {self.only or 'any function'}")
        return next((fault for call in calls if (fault := self._call(call))), None)

    def _call(self, call: Call) -> Fault | None:
        if self.only is not None and call.name != self.only:
            return Fault("wrong_tool", f"it calls {call.name[:80]!r}, not {self.only!r}")
        if call.name not in self.functions:
            return Fault("wrong_tool", f"it calls {call.name[:80]!r}, which is none of the tools")
        schema = self.functions[call.name]
        if schema is None:
            return None
        value = parsed(call.arguments)
        if isinstance(value, Fault):
            return Fault(value.kind, f"the arguments of {call.name}: {value.message}")
        why = schema.fault(value)
        return None if why is None else Fault("schema", f"the arguments of {call.name}: {why}")


def parsed(text: str) -> object:
    """The value, or a Fault."""
    try:
        value: object = json.loads(text, parse_constant=_not_json)
    except RecursionError:
        return Fault("not_json", "it is nested too deeply")
    except ValueError as error:
        return Fault("not_json", f"it is not JSON: {error}")
    return value


def _not_json(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")

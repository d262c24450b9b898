"""JSON schemas that strangers wrote: checked before they are used, bounded, and never fetched."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import regex
from jsonschema import Draft202012Validator, ValidationError, validators
from jsonschema.exceptions import SchemaError
from jsonschema.protocols import Validator
from referencing import Registry

from server.structured.circles import circle, nodes
from server.structured.limits import searches, spend

MAX_CHARS = 128 * 1024
# A schema above this is used once and forgotten.
CACHED_CHARS = 16 * 1024
CACHED = 256

Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError]]


class BadSchemaError(Exception):
    """The text is a clause for the client."""


@dataclass(frozen=True)
class Schema:
    validator: Validator

    @staticmethod
    def of(schema: object) -> Schema:
        """Raises BadSchemaError."""
        try:
            text = json.dumps(schema, sort_keys=True)
        except RecursionError as error:
            raise BadSchemaError("it is nested too deeply") from error
        if len(text) > MAX_CHARS:
            raise BadSchemaError(f"it is longer than {MAX_CHARS} characters")
        return _cached(text) if len(text) <= CACHED_CHARS else _compiled(text)

    def fault(self, value: object) -> str | None:
        """The first fault found, as a clause. Within server.structured.limits."""
        error = next(self.validator.iter_errors(cast(Any, value)), None)
        if error is None:
            return None
        where = "".join(f"[{json.dumps(part)}]" for part in error.absolute_path)
        return f"{error.message[:200]} (at ${where})"


def _compiled(text: str) -> Schema:
    schema = json.loads(text)
    if not isinstance(schema, dict | bool):
        raise BadSchemaError("it must be an object")
    base = validators.validator_for(schema, default=Draft202012Validator)
    try:
        base.check_schema(cast(dict[str, Any], schema))
        _refuse_uncheckable(schema)
        found = circle(schema)
    except SchemaError as error:
        where = "".join(f"[{json.dumps(part)}]" for part in error.absolute_path)
        raise BadSchemaError(f"{error.message[:200]} (at ${where})") from error
    except RecursionError as error:
        raise BadSchemaError("it is nested too deeply") from error
    if found:
        raise BadSchemaError(f"{found} leads back to itself")
    # A registry of its own: jsonschema would otherwise fetch what a $ref names.
    return Schema(_bounded(base)(schema, registry=Registry()))


_cached = lru_cache(CACHED)(_compiled)


def _refuse_uncheckable(schema: object) -> None:
    names = set()
    for name, value in _keywords(schema):
        names.add(name)
        if name in ("$ref", "$dynamicRef") and isinstance(value, str) and not value.startswith("#"):
            raise BadSchemaError(f"$ref {value[:80]!r} leads out of it")
        if name == "pattern" and isinstance(value, str):
            _compilable(value)
        if name == "patternProperties" and isinstance(value, dict):
            for pattern in value:
                _compilable(pattern)
    if {"patternProperties", "unevaluatedProperties"} <= names:
        raise BadSchemaError("patternProperties and unevaluatedProperties do not go together here")


def _keywords(schema: object) -> Iterator[tuple[str, object]]:
    for node in nodes(schema):
        if isinstance(node, dict):
            yield from node.items()


def _compilable(pattern: str) -> None:
    try:
        regex.compile(pattern)
    except regex.error as error:
        raise BadSchemaError(f"the pattern {pattern[:80]!r} cannot be used: {error}") from error


@lru_cache(16)
def _bounded(base: type[Validator]) -> type[Validator]:
    ours: dict[str, Keyword] = {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
        "uniqueItems": _unique_items,
    }
    known: Mapping[str, Keyword] = {**base.VALIDATORS, **ours}
    bounded: type[Validator] = validators.extend(  # type: ignore[no-untyped-call]
        base, {name: _counted(keyword) for name, keyword in known.items()}
    )
    return bounded


def _counted(keyword: Keyword) -> Keyword:
    def counted(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:  # noqa: ANN401
        spend()
        yield from keyword(validator, value, instance, schema) or ()

    return counted


def _pattern(validator: Any, pattern: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:  # noqa: ANN401
    if isinstance(instance, str) and not searches(pattern, instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


def _pattern_properties(
    validator: Any,  # noqa: ANN401
    patterns: Any,  # noqa: ANN401
    instance: Any,  # noqa: ANN401
    schema: Any,  # noqa: ANN401
) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    for pattern, inner in patterns.items():
        for name, value in instance.items():
            if searches(pattern, name):
                yield from validator.descend(value, inner, path=name, schema_path=pattern)


def _additional_properties(
    validator: Any,  # noqa: ANN401
    allowed: Any,  # noqa: ANN401
    instance: Any,  # noqa: ANN401
    schema: Any,  # noqa: ANN401
) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    named, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for name, value in instance.items():
        if name in named or any(searches(pattern, name) for pattern in patterns):
            continue
        if allowed is False:
            yield ValidationError(f"the key {name[:80]!r} is not allowed")
        elif isinstance(allowed, dict):
            yield from validator.descend(value, allowed, path=name)


def _unique_items(
    validator: Any,  # noqa: ANN401
    unique: Any,  # noqa: ANN401
    instance: Any,  # noqa: ANN401
    schema: Any,  # noqa: ANN401
) -> Iterator[ValidationError]:
    # jsonschema's own compares each with each.
    if unique and isinstance(instance, list):
        spend(len(instance))
        if len({json.dumps(one, sort_keys=True) for one in instance}) < len(instance):
            yield ValidationError("its items are not unique")

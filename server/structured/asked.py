"""The rules in a request's fields, for each of the three APIs.

A field of a wrong shape gives no rule: the engine refuses it, in its own words.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import regex

from server.errors import ApiError, invalid
from server.structured.rules import Choice, JsonObject, JsonSchema, Pattern, TextRule, ToolRule
from server.structured.schema import BadSchemaError, Schema

Fields = Mapping[str, Any]


def text_rule(document: Fields) -> TextRule | None:
    """Raises ApiError for a schema or a pattern that cannot be used."""
    found = _of_format(document) or _of_text(document)
    return found or _of_outputs(_mapping(document.get("structured_outputs")))


def tool_rule(document: Fields) -> ToolRule | None:
    choice = document.get("tool_choice")
    if choice == "none":
        return None
    functions = list(_functions(document.get("tools")))
    only = _named(choice)
    required = choice == "required" or only is not None
    held = {
        str(one["name"]): _parameters(one) if required or one.get("strict") is True else None
        for one in functions
    }
    if not functions or not (required or any(held.values())):
        return None
    return ToolRule(required, only, held)


def _of_format(document: Fields) -> TextRule | None:
    form = _mapping(document.get("response_format"))
    if form.get("type") == "json_object":
        return JsonObject()
    inner = _mapping(form.get("json_schema"))
    if form.get("type") != "json_schema" or "schema" not in inner:
        return None
    return JsonSchema(_schema(inner["schema"], "response_format"))


def _of_text(document: Fields) -> TextRule | None:
    """Of /v1/responses."""
    form = _mapping(_mapping(document.get("text")).get("format"))
    if form.get("type") == "json_object":
        return JsonObject()
    if form.get("type") != "json_schema" or "schema" not in form:
        return None
    return JsonSchema(_schema(form["schema"], "text.format"))


def _of_outputs(outputs: Fields) -> TextRule | None:
    if outputs.get("json") is not None:
        return JsonSchema(_schema(outputs["json"], "structured_outputs.json"))
    if outputs.get("json_object") is True:
        return JsonObject()
    choice, pattern = outputs.get("choice"), outputs.get("regex")
    if isinstance(choice, list) and all(isinstance(one, str) for one in choice):
        return Choice(frozenset(choice))
    if isinstance(pattern, str):
        return Pattern(_usable(pattern))
    return None


def _functions(tools: object) -> Iterator[Fields]:
    for tool in tools if isinstance(tools, list) else ():
        fields = _mapping(tool)
        # Chat nests what /v1/responses writes flat.
        function = _mapping(fields.get("function", fields))
        if fields.get("type") == "function" and isinstance(function.get("name"), str):
            yield function


def _named(choice: object) -> str | None:
    fields = _mapping(choice)
    if fields.get("type") != "function":
        return None
    name = _mapping(fields.get("function", fields)).get("name")
    return name if isinstance(name, str) else None


def _parameters(function: Fields) -> Schema:
    # None: a function without arguments; vLLM lets it have any object.
    return _schema(function.get("parameters") or {"type": "object"}, "tools")


def _schema(schema: object, param: str) -> Schema:
    try:
        return Schema.of(json.loads(schema) if isinstance(schema, str) else schema)
    except (BadSchemaError, ValueError, RecursionError) as error:
        raise ApiError(
            400, "invalid_json_schema", f"The schema in {param} cannot be used: {error}.", param
        ) from error


def _usable(pattern: str) -> str:
    try:
        regex.compile(pattern)
    except (regex.error, RecursionError) as error:
        raise invalid(
            f"The pattern cannot be used: {error}.", param="structured_outputs.regex"
        ) from error
    return pattern


def _mapping(value: object) -> Fields:
    return value if isinstance(value, dict) else {}

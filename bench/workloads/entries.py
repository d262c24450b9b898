"""One record of a user's file as a request, or which field of it is at fault."""

import json
from collections.abc import Mapping
from typing import Any

from bench.workloads.schemas import fault_of
from neuron.local.example import Example, ask

# What the bench says itself in each request.
REPLACED = {"model", "stream", "stream_options"}
READ = {
    "messages", "tools", "temperature", "max_tokens", "max_completion_tokens", "response_format",
    "chat_template_kwargs", "schema", "answer",
}  # fmt: skip
ROLES = {"system", "developer", "user", "assistant", "tool"}
SCHEMA_PROMPT = (
    "Write one JSON document that is valid under this JSON Schema. Answer with JSON only, no "
    "Markdown.\n\n{schema}"
)


class FaultError(Exception):
    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field} {why}")


def body_of(record: Mapping[str, Any]) -> Example:
    """An OpenAI chat request; `schema` and `answer` are ours."""
    for key in record:
        if key not in READ | REPLACED:
            raise FaultError(key, "is not sent by the bench: leave it out")
    messages, tools = record["messages"], record.get("tools", [])
    _check(isinstance(messages, list) and messages, "messages", "must be a list that holds some")
    for place, one in enumerate(messages):
        where = f"messages[{place}]"
        _check(isinstance(one, dict), where, "must be an object")
        _check(
            one.get("role") in ROLES, f"{where}.role", f"must be one of {', '.join(sorted(ROLES))}"
        )
        _check(isinstance(one.get("content"), str), f"{where}.content", "must be text")
    _check(isinstance(tools, list), "tools", "must be a list")
    schema, expected = _schema(record), record.get("answer")
    if schema is None:
        is_text = expected is None or isinstance(expected, str)
        _check(is_text, "answer", "must be text where there is no schema")
    facts = {
        "expected": expected,
        "temperature": _number(record, "temperature", 0.0, 2.0),
        "max_tokens": _tokens(record),
        "template": record.get("chat_template_kwargs", {}),
    }
    _check(isinstance(facts["template"], dict), "chat_template_kwargs", "must be an object")
    told = expected if isinstance(expected, str) else json.dumps(expected)
    answer = "" if expected is None else told
    return Example("file", 0, tuple(messages), answer, tuple(tools), schema, facts)


def chat_of(record: Mapping[str, Any]) -> Example:
    """ShareGPT: the first human turn; the answer that stands there is nothing to be held to."""
    turns = record["conversations"]
    _check(isinstance(turns, list), "conversations", "must be a list")
    for place, turn in enumerate(turns):
        where = f"conversations[{place}]"
        _check(isinstance(turn, dict), where, "must be an object")
        if turn.get("from") in ("human", "user"):
            text = turn.get("value")
            _check(isinstance(text, str) and text, f"{where}.value", "must be text")
            return Example("file", 0, ask(text), "")
    raise FaultError("conversations", "has no turn from a human")


def schema_of(record: Mapping[str, Any]) -> Example:
    """JSONSchemaBench: a document for the schema, which is an object or its text."""
    schema = record["json_schema"]
    if isinstance(schema, str):
        try:
            schema = json.loads(schema)
        except (json.JSONDecodeError, RecursionError) as error:
            raise FaultError("json_schema", f"is no JSON: {error}") from error
    fault = fault_of(schema)
    _check(fault is None, "json_schema", str(fault))
    prompt = SCHEMA_PROMPT.format(schema=json.dumps(schema))
    return Example("file", 0, ask(prompt), "", (), schema)


def _check(holds: object, field: str, why: str) -> None:
    if not holds:
        raise FaultError(field, why)


def _schema(record: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """`schema`, or that of `response_format`."""
    asked = record.get("response_format")
    field, found = "schema", record.get("schema")
    if asked is not None:
        _check(found is None, "schema", "stands beside response_format: give one of them")
        is_schema = isinstance(asked, dict) and asked.get("type") == "json_schema"
        _check(is_schema, "response_format.type", "must be json_schema")
        inner = asked.get("json_schema")
        _check(isinstance(inner, dict), "response_format.json_schema", "must be an object")
        field, found = "response_format.json_schema.schema", inner.get("schema", "")
    if found is None:
        return None
    fault = fault_of(found)
    _check(fault is None, field, str(fault))
    return dict(found)


def _number(record: Mapping[str, Any], key: str, low: float, high: float) -> float | None:
    value = record.get(key)
    if value is None:
        return None
    fits = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
    _check(fits, key, f"must be a number from {low:g} to {high:g}")
    return float(value)


def _tokens(record: Mapping[str, Any]) -> int | None:
    for key in ("max_tokens", "max_completion_tokens"):
        value = record.get(key)
        if value is not None:
            fits = isinstance(value, int) and not isinstance(value, bool) and value > 1
            _check(fits, key, "must be a whole number above 1")
            return int(value)
    return None

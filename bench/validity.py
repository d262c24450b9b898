"""Every answer falls into exactly one class; what is wrong is told apart, not summed up."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

from jsonschema import Draft202012Validator

AnswerClass = Literal[
    "exact", "inexact", "truncated", "runaway", "fenced", "surrounded", "not json", "wrong schema",
    "invalid", "empty", "refused", "unusable",
]  # fmt: skip
CLASSES: tuple[AnswerClass, ...] = get_args(AnswerClass)
MEANING: Mapping[AnswerClass, str] = {
    "exact": "the format holds and the content is right",
    "inexact": "the format holds, the content differs from the expected answer",
    "truncated": "ended by max_tokens",
    "runaway": "ends in 32 or more whitespace characters, or has 256 in a row, however it ended",
    "fenced": "valid, but wrapped in a Markdown fence",
    "surrounded": "valid JSON with other text before or after it",
    "not json": "JSON was asked for and the answer does not parse",
    "wrong schema": "parses as JSON and is not what the schema asks for",
    "invalid": "the task's own validator refuses it, and no class above says why",
    "empty": "no text",
    "refused": "the server answered with an error status",
    "unusable": "the stream broke, or its tokens do not add up to its usage",
}
TRAILING = re.compile(r"\s{32,}\Z")
INSIDE = re.compile(r"\s{256,}")
FENCE = re.compile(r"\A\s*```\w*\n(?P<inside>.*?)\n?```\s*\Z", re.DOTALL)
OK = 200


def classify(
    text: str,
    finish_reason: str | None,
    *,
    valid: bool,
    exact: bool,
    schema: Mapping[str, Any] | None = None,
    status: int = OK,
    problem: str | None = None,
    unfenced: Callable[[str], bool] = lambda _: False,
) -> AnswerClass:
    """`valid` and `exact` are the task's own verdict on `text`; `schema` is what was asked for.

    `unfenced` says whether what stands in a Markdown fence would have been valid.
    """
    if status not in (0, OK):
        return "refused"
    if problem is not None:
        return "unusable"
    if not text:
        return "empty"
    if TRAILING.search(text) or INSIDE.search(text):
        return "runaway"
    if finish_reason == "length":
        return "truncated"
    if valid:
        return "exact" if exact else "inexact"
    if schema is not None:
        return _json_class(text, schema)
    fenced = FENCE.match(text)
    return "fenced" if fenced and unfenced(fenced["inside"]) else "invalid"


def _json_class(text: str, schema: Mapping[str, Any]) -> AnswerClass:
    holds = Draft202012Validator(schema).is_valid
    found = _parsed(text)
    if found is not _NOTHING:
        return "invalid" if holds(found) else "wrong schema"
    fenced = FENCE.match(text)
    if fenced and _parsed(fenced["inside"]) is not _NOTHING:
        return "fenced"
    start = min((at for at in (text.find("{"), text.find("[")) if at >= 0), default=-1)
    if start < 0:
        return "not json"
    try:
        json.JSONDecoder().raw_decode(text, start)
    except (json.JSONDecodeError, RecursionError):
        return "not json"
    return "surrounded"


_NOTHING = object()


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        return _NOTHING

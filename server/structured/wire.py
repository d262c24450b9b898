"""What was said, read out of the documents of each API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from server.structured.contract import Said
from server.structured.rules import Call

Choice = dict[str, Any]


def said_in_choice(choice: Mapping[str, Any]) -> Said:
    """Of a whole chat or completion."""
    message = mapping(choice.get("message"))
    calls = tuple(Call(name, arguments) for _, name, arguments in calls_of(message))
    return Said(text_of(choice, message), calls)


def text_of(choice: Mapping[str, Any], inner: Mapping[str, Any]) -> str:
    """`inner` is the choice's message or delta; a completion has its text beside it."""
    text = choice.get("text", inner.get("content"))
    return text if isinstance(text, str) else ""


def calls_of(inner: Mapping[str, Any]) -> Iterator[tuple[int, str, str]]:
    """Index, name and arguments, or what has come of them."""
    calls = inner.get("tool_calls")
    for place, call in enumerate(calls if isinstance(calls, list) else ()):
        function = mapping(mapping(call).get("function"))
        index = mapping(call).get("index", place)
        yield index, str(function.get("name") or ""), str(function.get("arguments") or "")


def said_in_response(response: Mapping[str, Any]) -> Said:
    """Of /v1/responses."""
    texts, calls = [], []
    for item in map(mapping, response.get("output") or ()):
        if item.get("type") == "function_call":
            calls.append(Call(str(item.get("name")), str(item.get("arguments"))))
        elif item.get("type") == "message":
            parts = map(mapping, item.get("content") or ())
            texts += [str(part.get("text")) for part in parts if part.get("type") == "output_text"]
    return Said("".join(texts), tuple(calls))


def cut_short(choice: Mapping[str, Any]) -> bool:
    """By a limit, or by a stop string of the client's own."""
    by_client = choice.get("stop_reason") is not None
    return by_client or choice.get("finish_reason") not in ("stop", "tool_calls")


def mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}

"""What the gateway must know of a request, and nothing that the engine checks itself."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from server import fields
from server.errors import ApiError, Code, invalid
from server.pools.ask import Ask, ask_of, take_mode
from server.speculation import classify

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
CHAT_PATH = "/v1/chat/completions"
COMPLETION_PATH = "/v1/completions"

T = TypeVar("T")
# Only the first fault is told, and a body of megabytes has room for a million.
Items = Annotated[list[T], Field(fail_fast=True)]


class _Lenient(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class _StreamOptions(_Lenient):
    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None
    include_obfuscation: bool | None = None


class _Message(_Lenient):
    role: str


class _Envelope(_Lenient):
    model: str = Field(min_length=1)
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    n: int | None = Field(default=None, ge=1)
    max_tokens: int | None = Field(default=None, ge=0)
    max_completion_tokens: int | None = Field(default=None, ge=1)


class _Chat(_Envelope):
    messages: Items[_Message] = Field(min_length=1)


class _Completion(_Envelope):
    prompt: str | Items[str] | Items[int] | Items[Items[int]]


@dataclass(frozen=True)
class CompletionRequest:
    path: str
    model: str
    stream: bool
    wants_usage: bool
    grammar: str | None
    """The field that holds the answer to a grammar, if one does."""
    ask: Ask
    max_tokens: int | None
    """Of each choice; None: the engine's limit."""
    choices: int
    """For all prompts together."""
    body: bytes
    """For the engine: the client's, with usage asked for in every stream."""


def parse_request(
    path: str, raw: bytes, speculation: str | None = None, key_id: str | None = None
) -> CompletionRequest:
    """`speculation` is the header's, `key_id` names the API key if any. Raises ApiError."""
    document = _object(raw)
    fields_sent = len(document)
    mode = take_mode(document, speculation)
    if len(document) < fields_sent:
        raw = json.dumps(document).encode()
    chat = path == CHAT_PATH
    fields.check_fields(document, fields.CHAT if chat else fields.COMPLETION)
    envelope = _validated(_Chat if chat else _Completion, document)
    if isinstance(envelope, _Chat):
        _check_roles(envelope.messages)
    stream = bool(envelope.stream)
    options = envelope.stream_options
    if options is not None:
        if not stream:
            raise invalid("stream_options needs stream = true.", param="stream_options")
        _check_options(document["stream_options"])
    wants_usage = stream and options is not None and bool(options.include_usage)
    return CompletionRequest(
        path=path,
        model=envelope.model,
        stream=stream,
        wants_usage=wants_usage,
        grammar=_grammar(document),
        ask=ask_of(document, mode, len(raw), classify(document, key_id=key_id)),
        max_tokens=(
            envelope.max_tokens
            if envelope.max_completion_tokens is None
            else envelope.max_completion_tokens
        ),
        choices=(envelope.n or 1) * _prompts(envelope),
        body=_with_usage(document, wants_usage=wants_usage) if stream else raw,
    )


def _prompts(envelope: _Envelope) -> int:
    prompt = getattr(envelope, "prompt", "")
    many = isinstance(prompt, list) and not (prompt and isinstance(prompt[0], int))
    return max(1, len(prompt)) if many else 1


def _check_options(options: dict[str, Any]) -> None:
    for name in options:
        if name not in _StreamOptions.model_fields:
            where = f"stream_options.{name[:80]}"
            raise invalid(f"Unknown field {where!r}.", param=where, code="unknown_parameter")


def _grammar(document: dict[str, Any]) -> str | None:
    outputs = document.get("structured_outputs")
    if isinstance(outputs, dict):
        for kind in ("json", "regex", "choice", "grammar", "json_object", "structural_tag"):
            if outputs.get(kind) is not None:
                return f"structured_outputs.{kind}"
    return next((name for name in ("response_format", "tools") if document.get(name)), None)


def _with_usage(document: dict[str, Any], *, wants_usage: bool) -> bytes:
    options = dict(document.get("stream_options") or {})
    if not wants_usage:
        # Without include_usage the engine would not have sent running counts either.
        options.pop("continuous_usage_stats", None)
    options["include_usage"] = True
    return json.dumps({**document, "stream_options": options}).encode()


def _object(raw: bytes) -> dict[str, Any]:
    try:
        # Stops at 200 levels, with none of Python's own stack used up.
        document = from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        raise ApiError(400, "invalid_json", f"The body is not valid JSON: {error}.") from error
    if not isinstance(document, dict):
        raise invalid("The body must be a JSON object.", code="invalid_type")
    return document


def _validated(model: type[_Envelope], document: dict[str, Any]) -> _Envelope:
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise _sentence(error) from error


def _sentence(error: ValidationError) -> ApiError:
    first = error.errors(include_url=False, include_input=False)[0]
    location = first["loc"]
    # A union's own branches are no path a client wrote.
    name = "prompt" if location[0] == "prompt" else ".".join(str(part) for part in location)
    if first["type"] == "missing":
        return invalid(
            f"The field {name!r} is missing.", param=name, code="missing_required_parameter"
        )
    if name == "prompt":
        return invalid(
            "prompt must be a string, a list of strings, or token ids.",
            param=name,
            code="invalid_type",
        )
    code: Code = "invalid_type" if first["type"].endswith("_type") else "invalid_value"
    return invalid(f"{name}: {first['msg']}.", param=name, code=code)


def _check_roles(messages: list[_Message]) -> None:
    for place, message in enumerate(messages):
        if message.role not in ROLES:
            raise invalid(
                f"messages.{place}.role is {message.role[:80]!r}; roles are {', '.join(ROLES)}.",
                param=f"messages.{place}.role",
            )

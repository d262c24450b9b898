"""What the gateway must know of a request, and nothing that the engine checks itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from server import fields
from server.envelopes import (
    Chat,
    Completion,
    Detokenize,
    Envelope,
    Responses,
    StreamOptions,
    Tokenize,
    check_roles,
    validated,
)
from server.errors import ApiError, invalid
from server.pools.ask import Ask, ask_of, take_mode
from server.speculation import classify
from server.structured import Contract, Form

CHAT_PATH = "/v1/chat/completions"
COMPLETION_PATH = "/v1/completions"
RESPONSES_PATH = "/v1/responses"
TOKENIZE_PATH = "/tokenize"
DETOKENIZE_PATH = "/detokenize"

_ENVELOPES: Mapping[str, tuple[type[Envelope], frozenset[str]]] = {
    CHAT_PATH: (Chat, fields.CHAT),
    COMPLETION_PATH: (Completion, fields.COMPLETION),
    RESPONSES_PATH: (Responses, fields.RESPONSES),
    TOKENIZE_PATH: (Tokenize, fields.TOKENIZE),
    DETOKENIZE_PATH: (Detokenize, fields.DETOKENIZE),
}
PATHS = tuple(_ENVELOPES)
"""What goes to an engine."""
UNGENERATED = frozenset({TOKENIZE_PATH, DETOKENIZE_PATH})
"""No tokens come of these."""


@dataclass(frozen=True)
class CompletionRequest:
    path: str
    model: str
    stream: bool
    wants_usage: bool
    wants_running_usage: bool
    """In every chunk."""
    grammar: str | None
    """The field that holds the answer to a grammar, if one does."""
    contract: Contract | None
    """None: free text, or a form that only the engine can hold an answer to."""
    ask: Ask
    max_tokens: int | None
    """Of each choice; None: the engine's limit."""
    choices: int
    """For all prompts together."""
    body: bytes
    """For the engine: the client's, with usage asked for in every stream."""
    document: Mapping[str, Any]
    """The client's, without what no engine knows."""

    @property
    def prompt(self) -> object:
        """What the model is to read."""
        names = ("messages", "input", "prompt", "tokens")
        return next((self.document[name] for name in names if name in self.document), None)

    @property
    def form(self) -> Form:
        if self.contract is not None:
            return self.contract.kind
        outputs = (self.grammar or "").startswith(("structured_outputs", "response_format"))
        return "grammar" if outputs else "free"


def parse_request(
    path: str, raw: bytes, speculation: str | None = None, key_id: str | None = None
) -> CompletionRequest:
    """`speculation` is the header's, `key_id` names the API key if any. Raises ApiError."""
    document = _object(raw)
    fields_sent = len(document)
    mode = take_mode(document, speculation)
    if len(document) < fields_sent:
        raw = json.dumps(document).encode()
    model, known = _ENVELOPES[path]
    fields.check_fields(document, known)
    envelope = validated(model, document)
    _check(envelope)
    contract = None if path in UNGENERATED else Contract.of(document)
    usage, running = _usage(envelope, document)
    body = raw
    if envelope.stream and path in (CHAT_PATH, COMPLETION_PATH):
        body = _with_usage(document, running=running or contract is not None)
    return CompletionRequest(
        path=path,
        model=envelope.model,
        stream=bool(envelope.stream),
        wants_usage=usage,
        wants_running_usage=running,
        grammar=_grammar(document),
        contract=contract,
        ask=ask_of(
            document,
            mode,
            len(raw),
            None if path in UNGENERATED else classify(document, key_id=key_id),
        ),
        max_tokens=envelope.max_tokens_asked,
        choices=envelope.choices,
        body=body,
        document=document,
    )


def _usage(envelope: Envelope, document: dict[str, Any]) -> tuple[bool, bool]:
    """Whether the client wants it at the end, and in every chunk."""
    options = envelope.stream_options
    if options is None:
        return False, False
    if not envelope.stream:
        raise invalid("stream_options needs stream = true.", param="stream_options")
    _check_options(document["stream_options"])
    usage = bool(options.include_usage)
    # Without the one, the engine would not send the other either.
    return usage, usage and bool(options.continuous_usage_stats)


def _check(envelope: Envelope) -> None:
    """What neither a type says nor the engine refuses."""
    match envelope:
        case Chat(messages=messages):
            check_roles(messages)
        case Tokenize(prompt=prompt, messages=messages):
            if (prompt is None) == (messages is None):
                raise invalid("Send either 'prompt' or 'messages'.", param="prompt")
            check_roles(messages or [])
        case Responses(tools=tools, text=text):
            fields.check_tools([tool.type for tool in tools or ()])
            fields.check_value("text.verbosity", "verbosity", text.verbosity if text else None)


def _check_options(options: dict[str, Any]) -> None:
    for name in options:
        if name not in StreamOptions.model_fields:
            where = f"stream_options.{name[:80]}"
            raise invalid(f"Unknown field {where!r}.", param=where, code="unknown_parameter")


def _grammar(document: dict[str, Any]) -> str | None:
    outputs = document.get("structured_outputs")
    if isinstance(outputs, dict):
        for kind in ("json", "regex", "choice", "grammar", "json_object", "structural_tag"):
            if outputs.get(kind) is not None:
                return f"structured_outputs.{kind}"
    text = document.get("text")
    if isinstance(text, dict) and text.get("format"):
        return "text.format"
    return next((name for name in ("response_format", "tools") if document.get(name)), None)


def _with_usage(document: dict[str, Any], *, running: bool) -> bytes:
    """`running`: also in each chunk, for a count of what came before an end of our own."""
    options = {**(document.get("stream_options") or {}), "include_usage": True}
    options.pop("continuous_usage_stats", None)
    if running:
        options["continuous_usage_stats"] = True
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

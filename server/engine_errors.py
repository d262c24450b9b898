"""vLLM's errors, in the codes that OpenAI's clients know."""

from __future__ import annotations

import re
from typing import Any

from server.engine_json import read_object
from server.errors import ApiError, Code, engine_lost
from server.openai_request import CHAT_PATH, RESPONSES_PATH, CompletionRequest
from server.structured import Fault

# vLLM names its dead core in the message only.
DEAD_ENGINE = ("EngineCore", "EngineDead", "cannot schedule new futures")
# How vLLM's grammar backends begin when they cannot use what a client asked for.
GRAMMAR = (
    "Grammar error",
    "Invalid grammar specification",
    "Invalid JSON grammar specification",
    "Invalid structural tag specification",
    "Failed to transform",
    "The provided JSON schema",
)
# vLLM 0.16 reads the calls that it asked for with pydantic and passes on what that says.
UNREADABLE_CALLS = re.compile(r"^\d+ validation errors? for list\[")
# The fields whose grammar is a JSON schema.
SCHEMAS = ("response_format", "structured_outputs.json", "text.format", "tools")
PROMPTS = {CHAT_PATH: "messages", RESPONSES_PATH: "input"}


def translate(
    status: int,
    body: bytes,
    *,
    request: CompletionRequest,
    retry_after_s: float,
    offered: str | None = None,
) -> ApiError:
    """`offered` is the engine's own Retry-After."""
    error = error_object(body)
    if error is None:
        text = body[:300].decode(errors="replace")
        error = {"message": text or f"HTTP {status}"}
    wait = float(offered) if offered is not None and offered.isdigit() else retry_after_s
    return _from(status, error, request, wait)


def translate_event(error: object, *, request: CompletionRequest, retry_after_s: float) -> ApiError:
    """An error object that came inside a stream."""
    fields = error if isinstance(error, dict) else {"message": str(error)}
    code = fields.get("code")
    status = code if isinstance(code, int) and 400 <= code < 600 else 500
    return _from(status, fields, request, retry_after_s)


def error_object(body: bytes) -> dict[str, Any] | None:
    document = read_object(body) or {}
    error = document.get("error")
    return error if isinstance(error, dict) else None


def _from(
    status: int, error: dict[str, Any], request: CompletionRequest, retry_after_s: float
) -> ApiError:
    message = str(error.get("message") or f"The engine answered HTTP {status}.")
    if status == 429 or status >= 500:
        return _server_side(status, message, retry_after_s)
    if status in (401, 403, 407):
        # The client's own credentials never reach the engine, so this is not the client's to fix.
        return ApiError(502, "engine_refused", "The engine does not accept the gateway's requests.")
    if status == 404 and "model" in message.lower():
        return ApiError(404, "model_not_found", message, param="model")
    if status < 400 or status in (404, 405):
        return ApiError(
            502,
            "engine_unexpected",
            f"The engine answered {request.path} with HTTP {status}, which no engine does there.",
        )
    if UNREADABLE_CALLS.match(message):
        return _unreadable_calls(message)
    param = error.get("param")
    code, param = _classify(message, param if isinstance(param, str) else None, request)
    return ApiError(400, code, message, param=param)


def _unreadable_calls(message: str) -> ApiError:
    if "EOF while parsing" in message:
        return ApiError(
            400,
            "output_cut_off",
            "The tool call was cut off by the token limit before it was whole; raise max_tokens.",
            param="max_tokens",
        )
    return Fault("not_json", "its tool calls are not JSON").error()


def _server_side(status: int, message: str, retry_after_s: float) -> ApiError:
    if any(sign in message for sign in DEAD_ENGINE):
        return engine_lost(retry_after_s)
    if status in (429, 503):
        # Clients have no quota at the engine: where it has too much to do, so have we.
        return ApiError(503, "engine_overloaded", message, retry_after_s=retry_after_s)
    if status == 501:
        return ApiError(501, "not_implemented", message)
    return ApiError(500, "engine_error", f"The engine failed on this request: {message}")


def _classify(
    message: str, param: str | None, request: CompletionRequest
) -> tuple[Code, str | None]:
    if "maximum context length" in message.lower() or param in ("input_tokens", "input_text"):
        return "context_length_exceeded", PROMPTS.get(request.path, "prompt")
    if message.startswith(GRAMMAR):
        param = request.grammar or param
        return ("invalid_json_schema" if param in SCHEMAS else "invalid_value"), param
    return ("invalid_json_schema" if param == "response_format" else "invalid_value"), param

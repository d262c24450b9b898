"""vLLM's errors, in the codes that OpenAI's clients know."""

from __future__ import annotations

import json
from typing import Any

from server.errors import ApiError, engine_lost
from server.openai_request import CHAT_PATH

# vLLM names its dead core in the message only.
DEAD_ENGINE = ("EngineCore", "EngineDead", "cannot schedule new futures")


def translate(
    status: int, body: bytes, *, path: str, retry_after_s: float, offered: str | None = None
) -> ApiError:
    """`offered` is the engine's own Retry-After."""
    error = error_object(body)
    if error is None:
        text = body[:300].decode(errors="replace")
        return _from(status, {"message": text or f"HTTP {status}"}, path, retry_after_s)
    wait = float(offered) if offered is not None and offered.isdigit() else retry_after_s
    return _from(status, error, path, wait)


def translate_event(error: object, *, path: str, retry_after_s: float) -> ApiError:
    """An error object that came inside a stream."""
    fields = error if isinstance(error, dict) else {"message": str(error)}
    code = fields.get("code")
    status = code if isinstance(code, int) and 400 <= code < 600 else 500
    return _from(status, fields, path, retry_after_s)


def error_object(body: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    error = document.get("error") if isinstance(document, dict) else None
    return error if isinstance(error, dict) else None


def _from(status: int, error: dict[str, Any], path: str, retry_after_s: float) -> ApiError:
    message = str(error.get("message") or f"The engine answered HTTP {status}.")
    param = error.get("param")
    param = param if isinstance(param, str) else None
    if status >= 500:
        return _server_side(status, message, retry_after_s)
    if status in (401, 403, 407):
        # The client's own credentials never reach the engine, so this is not the client's to fix.
        return ApiError(502, "engine_refused", "The engine does not accept the gateway's requests.")
    code, param = _classify(status, message, param, path)
    wait = retry_after_s if status == 429 else None
    return ApiError(status, code, message, param=param, retry_after_s=wait)


def _server_side(status: int, message: str, retry_after_s: float) -> ApiError:
    if any(sign in message for sign in DEAD_ENGINE):
        return engine_lost(retry_after_s)
    if status == 503:
        return ApiError(503, "engine_overloaded", message, retry_after_s=retry_after_s)
    if status == 501:
        return ApiError(501, "not_implemented", message)
    return ApiError(500, "engine_error", f"The engine failed on this request: {message}")


def _classify(status: int, message: str, param: str | None, path: str) -> tuple[str, str | None]:
    text = message.lower()
    if "maximum context length" in text or param in ("input_tokens", "input_text"):
        return "context_length_exceeded", "messages" if path == CHAT_PATH else "prompt"
    if status == 404 and "model" in text:
        return "model_not_found", "model"
    if _about_grammar(text, param):
        return "invalid_json_schema", param or "response_format"
    return "invalid_value", param


def _about_grammar(text: str, param: str | None) -> bool:
    signs = ("grammar", "json schema", "json_schema", "unimplemented keys")
    return param == "response_format" or any(sign in text for sign in signs)

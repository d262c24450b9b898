"""Every failure a client can see, in OpenAI's form.

ApiError     one answer: status, body, and when to come back
ClientGone   nobody is left to answer
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Any, Literal

# The table in docs/gateway.md has each of them.
Code = Literal[
    "invalid_http",
    "invalid_json",
    "invalid_type",
    "invalid_value",
    "missing_required_parameter",
    "unknown_parameter",
    "unsupported_parameter",
    "unsupported_value",
    "context_length_exceeded",
    "invalid_json_schema",
    "output_cut_off",
    "invalid_api_key",
    "insufficient_permissions",
    "model_not_found",
    "unknown_url",
    "method_not_allowed",
    "timeout_headers",
    "timeout_body",
    "request_too_large",
    "unsupported_media_type",
    "headers_too_large",
    "rate_limit_exceeded",
    "concurrency_limit_exceeded",
    "internal_error",
    "engine_error",
    "not_implemented",
    "engine_refused",
    "engine_unexpected",
    "invalid_structured_output",
    "engine_starting",
    "engine_restarting",
    "engine_failed",
    "engine_stopped",
    "engine_unavailable",
    "engine_lost",
    "engine_overloaded",
    "overloaded",
    "too_many_connections",
    "queue_timeout",
    "quota_unavailable",
    "shutting_down",
    "timeout_first_token",
    "timeout_chunk",
    "timeout_total",
    "deadline_exceeded",
]

Limit = Literal["requests", "tokens"]

INVALID_REQUEST = "invalid_request_error"
SERVER_ERROR = "server_error"


class ClientGone(Exception):  # noqa: N818 - nothing went wrong on our side
    pass


@dataclass(eq=False)
class ApiError(Exception):
    status: int
    code: Code
    message: str
    param: str | None = None
    retry_after_s: float | None = None
    extra: Mapping[str, str] = field(default_factory=dict)
    """Headers of this error alone."""
    limit: Limit | None = None
    """Which quota is used up; OpenAI says it as the error's type."""

    def __str__(self) -> str:
        return f"{self.status} {self.code}: {self.message}"

    @property
    def kind(self) -> str:
        if self.limit is not None:
            return self.limit
        return INVALID_REQUEST if self.status < 500 else SERVER_ERROR

    def payload(self) -> dict[str, Any]:
        return {
            "error": {
                "message": self.message,
                "type": self.kind,
                "param": self.param,
                "code": self.code,
            }
        }

    def body(self) -> bytes:
        return json.dumps(self.payload()).encode()

    def event(self, *, typed: bool = False) -> bytes:
        """The last event of a stream that has begun; no [DONE] follows it.

        `typed`: as /v1/responses has it.
        """
        if not typed:
            return b"data: " + self.body() + b"\n\n"
        error = self.payload()["error"]
        document = {**error, "type": "error", "error": error}
        return b"event: error\ndata: " + json.dumps(document).encode() + b"\n\n"

    def headers(self) -> dict[str, str]:
        headers = dict(self.extra)
        if self.retry_after_s is not None:
            headers["retry-after"] = str(max(1, ceil(self.retry_after_s)))
        return headers


def invalid(message: str, *, param: str | None = None, code: Code = "invalid_value") -> ApiError:
    return ApiError(400, code, message, param=param)


def unavailable(code: Code, message: str, *, retry_after_s: float) -> ApiError:
    return ApiError(503, code, message, retry_after_s=retry_after_s)


def engine_lost(retry_after_s: float) -> ApiError:
    return unavailable(
        "engine_lost",
        "The engine stopped before the answer was complete. Send the request again.",
        retry_after_s=retry_after_s,
    )

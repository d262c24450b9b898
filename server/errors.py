"""Every failure a client can see, in OpenAI's form.

ApiError     one answer: status, body, and when to come back
ClientGone   nobody is left to answer
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import ceil
from typing import Any

INVALID_REQUEST = "invalid_request_error"
SERVER_ERROR = "server_error"


class ClientGone(Exception):  # noqa: N818 - nothing went wrong on our side
    pass


@dataclass(eq=False)
class ApiError(Exception):
    status: int
    code: str
    message: str
    param: str | None = None
    retry_after_s: float | None = None
    allow: str | None = None

    def __str__(self) -> str:
        return f"{self.status} {self.code}: {self.message}"

    @property
    def kind(self) -> str:
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

    def event(self) -> bytes:
        """The last event of a stream that has begun; no [DONE] follows it."""
        return b"data: " + self.body() + b"\n\n"

    def headers(self) -> dict[str, str]:
        headers = {}
        if self.retry_after_s is not None:
            headers["retry-after"] = str(max(1, ceil(self.retry_after_s)))
        if self.allow is not None:
            headers["allow"] = self.allow
        return headers


def invalid(message: str, *, param: str | None = None, code: str = "invalid_value") -> ApiError:
    return ApiError(400, code, message, param=param)


def unavailable(code: str, message: str, *, retry_after_s: float) -> ApiError:
    return ApiError(503, code, message, retry_after_s=retry_after_s)


def engine_lost(retry_after_s: float) -> ApiError:
    return unavailable(
        "engine_failed",
        "The engine stopped before the answer was complete. Send the request again.",
        retry_after_s=retry_after_s,
    )

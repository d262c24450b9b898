"""Whole answers over bare ASGI, and the headers that all answers carry."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import Message, Scope, Send

from server.errors import ApiError

REQUEST_ID = "x-request-id"
POOL = "x-specserve-pool"
JSON = "application/json"

Headers = list[tuple[bytes, bytes]]


def raw_headers(headers: Mapping[str, str]) -> Headers:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


async def send_body(
    send: Send, status: int, body: bytes, headers: Mapping[str, str] | None = None
) -> None:
    everything = {"content-type": JSON, "content-length": str(len(body)), **(headers or {})}
    start: Message = {
        "type": "http.response.start",
        "status": status,
        "headers": raw_headers(everything),
    }
    await send(start)
    await send({"type": "http.response.body", "body": body})


async def send_error(send: Send, error: ApiError, headers: Mapping[str, str] | None = None) -> None:
    await send_body(send, error.status, error.body(), {**(headers or {}), **error.headers()})


def header(scope: Scope, name: str) -> str | None:
    wanted = name.encode("latin-1")
    for key, value in scope["headers"]:
        if key == wanted:
            text: str = value.decode("latin-1")
            return text
    return None

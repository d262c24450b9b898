"""Whole answers over bare ASGI, and the headers that all answers carry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import anyio
import anyio.lowlevel
from starlette.types import Message, Scope, Send

from server.errors import ApiError

REQUEST_ID = "x-request-id"
POOL = "x-specserve-pool"
REPLICA = "x-specserve-replica"
JSON = "application/json"
# In a scope's state: ends the connection at once, with what is still unsent.
DROP = "specserve.drop"
# In a scope's state: whether what is sent now would wait for the client to read.
STALLED = "specserve.stalled"
# In a scope's state: puts a part of a begun stream on the connection at once.
WRITE = "specserve.write"

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


def bounded(send: Send, limit_s: float, state: Mapping[str, Any]) -> Send:
    """Drops a client that takes nothing for `limit_s`; it then counts as one that has left."""
    drop: Callable[[], None] = state[DROP]
    is_stalled: Callable[[], bool] = state[STALLED]

    async def bounded_send(message: Message) -> None:
        if not is_stalled():
            await send(message)
            return
        with anyio.move_on_after(limit_s) as stalled:
            await send(message)
        if stalled.cancelled_caught:
            drop()
            # The server learns of it in its next turn; until then this answer looks unfinished.
            await anyio.lowlevel.checkpoint()

    return bounded_send


def header(scope: Scope, name: str) -> str | None:
    wanted = name.encode("latin-1")
    for key, value in scope["headers"]:
        if key == wanted:
            text: str = value.decode("latin-1")
            return text
    return None

"""x-request-id: the client's own if it is sane, else ours, on every answer."""

from __future__ import annotations

import re
from uuid import uuid4

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.responses import REQUEST_ID, header

# What survives a log line and a header unquoted.
SANE = re.compile(r"[A-Za-z0-9._:-]{1,128}")


class RequestIdMiddleware:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = choose(header(scope, REQUEST_ID))
        scope["specserve.request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = (REQUEST_ID.encode(), request_id.encode())
                message = {**message, "headers": [*message["headers"], own]}
            await send(message)

        await self._app(scope, receive, send_with_id)


def choose(offered: str | None) -> str:
    if offered is not None and SANE.fullmatch(offered):
        return offered
    return f"req-{uuid4().hex}"


def request_id_of(scope: Scope) -> str:
    return str(scope.get("specserve.request_id", "-"))

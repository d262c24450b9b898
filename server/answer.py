"""The answer to one request, and how far it has got."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import Send

from server.errors import ApiError
from server.responses import raw_headers, send_body, send_error

STREAM_HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    # nginx keeps a stream back without this.
    "x-accel-buffering": "no",
}


class Answer:
    def __init__(self, send: Send, headers: Mapping[str, str] | None = None) -> None:
        self._send = send
        self.headers = dict(headers or {})
        """Of the answer; what is put in later than its first byte is not sent."""
        self.status: int | None = None
        """None: nothing has been sent."""
        self.finished = False
        """The last byte has been given to the server; leaving is no cancellation any more."""

    async def whole(self, body: bytes) -> None:
        self.status, self.finished = 200, True
        await send_body(self._send, 200, body, self.headers)

    async def piece(self, data: bytes) -> None:
        if self.status is None:
            self.status = 200
            headers = raw_headers({**STREAM_HEADERS, **self.headers})
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._body(data, more=True)

    async def end(self) -> None:
        self.finished = True
        await self._body(b"", more=False)

    async def fail(self, error: ApiError) -> None:
        if self.finished:
            return
        self.finished = True
        if self.status is None:
            self.status = error.status
            await send_error(self._send, error, self.headers)
        else:
            await self._body(error.event(), more=False)

    async def _body(self, data: bytes, *, more: bool) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": more})

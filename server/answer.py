"""The answer to one request, and how far it has got."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from starlette.types import Send

from server.errors import ApiError
from server.openai_request import RESPONSES_PATH
from server.record import RECORD, Record
from server.responses import STALLED, WRITE, bounded, raw_headers, send_body, send_error
from server.usage import Tokens

STREAM_HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    # nginx keeps a stream back without this.
    "x-accel-buffering": "no",
}


class Answer:
    def __init__(self, send: Send, state: Mapping[str, Any], write_s: float) -> None:
        """`state` is the scope's; a client that takes nothing for `write_s` is dropped."""
        self._send = bounded(send, write_s, state)
        self._write: Callable[[bytes], None] = state[WRITE]
        self._stalled: Callable[[], bool] = state[STALLED]
        self.record: Record = state[RECORD]
        self.headers: dict[str, str] = {}
        """Until the first byte, more may be added."""
        self.tokens: Tokens | None = None
        """What the engine says that it used."""
        self._kept = b""
        self.status: int | None = None
        """None: nothing has been sent."""
        self.finished = False
        """The last byte has been given to the server; leaving is no cancellation any more."""

    async def whole(self, body: bytes) -> None:
        self.status, self.finished = 200, True
        await send_body(self._send, 200, body, self.headers)

    def offer(self, data: bytes) -> bool:
        """Part of a stream; False where it cannot go at once and has to be flushed."""
        if self.status is None or self._kept or self._stalled():
            self._kept += data
            return False
        self._write(data)
        return True

    async def flush(self) -> None:
        if not self._kept:
            return
        if self.status is None:
            self.status = 200
            headers = raw_headers({**STREAM_HEADERS, **self.headers})
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        data, self._kept = self._kept, b""
        await self._body(data, more=True)

    def forget(self) -> None:
        """What was offered before anything was sent: another engine answers instead."""
        self._kept = b""

    async def end(self) -> None:
        await self.flush()
        self.finished = True
        await self._body(b"", more=False)

    async def fail(self, error: ApiError) -> None:
        if self.finished:
            return
        await self.flush()
        self.finished = True
        if self.status is None:
            self.status = error.status
            await send_error(self._send, error, self.headers)
        else:
            typed = self.record.path == RESPONSES_PATH
            await self._body(error.event(typed=typed), more=False)

    async def _body(self, data: bytes, *, more: bool) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": more})

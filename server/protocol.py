"""HTTP/1.1 as clients speak it: bounds on heads and connections, and our words for what is none."""

from __future__ import annotations

import asyncio
from functools import partial
from http import HTTPStatus
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from server.connections import ConnectionLimit
from server.errors import ApiError
from server.head_timer import HeadTimer
from server.request_id import choose
from server.responses import DROP, JSON, REQUEST_ID, STALLED, WRITE

# Of the request line and all headers. What one read brings on top of it is still taken.
MAX_HEAD_BYTES = 64 * 1024
LINGER_S = 1.0
"""For a connection too many to read why: closed at once, it would often be reset unread."""
MAX_LINGERING = 64


class NotHttpError(Exception):
    pass


class Protocol(HttpToolsProtocol):
    """uvicorn's over llhttp."""

    def __init__(
        self,
        *args: Any,  # noqa: ANN401
        head_timeout_s: float,
        limit: ConnectionLimit,
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(*args, **kwargs)
        self._limit = limit
        self._head_timeout_s = head_timeout_s
        self._head_timer = HeadTimer(self.loop, head_timeout_s, self._head_is_late)
        self._in_head = False
        self._unused_bytes = 0
        """Read since there was last a body or a whole head."""
        self._refusal: ApiError | None = None
        """Waits for the answers to what came before it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        beyond = len(self.connections) - self._limit.connections
        if beyond > 0:
            self._turn_away(with_words=beyond <= MAX_LINGERING)
            return
        flow = self.flow
        self.app_state = {
            **self.app_state,
            DROP: transport.abort,
            STALLED: lambda: flow.write_paused,
            WRITE: partial(_write_part, transport),
        }
        self._head_timer.waits(True)

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_timer.stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        if self._refusal is not None:
            return
        self._unused_bytes += len(data)
        try:
            self._feed(data)
        except httptools.HttpParserError as error:
            self._refuse(_not_http(error))
            return
        if self._unused_bytes > MAX_HEAD_BYTES:
            self._refuse(_HEAD_TOO_LARGE)
        self._head_timer.waits(self._is_idle())

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True

    def on_header(self, name: bytes, value: bytes) -> None:
        # What comes after a body is no header of the request.
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self.parser.get_method() == b"CONNECT":
            raise NotHttpError("this is no proxy")
        if self.parser.should_upgrade():
            return
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts != 1 and self.parser.get_http_version() == "1.1":
            raise NotHttpError("one Host header is needed")
        super().on_headers_complete()
        self._in_head = False
        self._unused_bytes = 0

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        self._unused_bytes = 0

    def on_message_complete(self) -> None:
        if not self._in_head:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        # What came behind the request may be part of the next one's head.
        self._head_timer.waits(self._in_head and self._is_idle())
        if self._refusal is not None and self.cycle.response_complete:
            self._send(self._refusal)

    def timeout_keep_alive_handler(self) -> None:
        # Not close(), which would wait for a client that does not read the answer it has.
        self.transport.abort()

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _head_is_late(self) -> None:
        if self._in_head:
            text = f"The headers did not arrive within {self._head_timeout_s:g} s."
            self._refuse(ApiError(408, "timeout_headers", text))
        else:
            self.transport.close()

    def _feed(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            # No other protocol is spoken here: the same request again, without the wish for one.
            head = [b"%b %b HTTP/1.1" % (self.parser.get_method(), self.url)]
            head += [b"%b: %b" % (key, value) for key, value in self.headers if key != b"upgrade"]
            self.parser = httptools.HttpRequestParser(self)
            self._feed(b"\r\n".join(head) + b"\r\n\r\n" + data[upgrade.args[0] :])

    def _refuse(self, error: ApiError) -> None:
        """What is no HTTP reaches no app; it is answered here, in the same form."""
        self._refusal = error
        before = self.cycle
        if before is None or (self._in_head and before.response_complete):
            self._send(error)
        elif self._in_head:
            # Sent once the answers to earlier requests are.
            return
        elif before.response_started or self.pipeline:
            # Where an answer has begun, a second one would end up inside it.
            self.transport.close()
        else:
            self._send(error)

    def _turn_away(self, *, with_words: bool) -> None:
        self._limit.on_refused()
        if not with_words:
            self.transport.abort()
            return
        self._refusal = _TOO_MANY
        self._write(_TOO_MANY)
        self.transport.write_eof()
        self.loop.call_later(LINGER_S, self.transport.abort)

    def _send(self, error: ApiError) -> None:
        self._write(error)
        self.transport.close()

    def _write(self, error: ApiError) -> None:
        body = error.body()
        headers = {
            "content-type": JSON,
            "content-length": str(len(body)),
            "connection": "close",
            REQUEST_ID: choose(None),
            **error.headers(),
        }
        head = [f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}"]
        head += [f"{name}: {value}" for name, value in headers.items()]
        self.transport.write("\r\n".join(head).encode() + b"\r\n\r\n" + body)


def _write_part(transport: asyncio.Transport, data: bytes) -> None:
    # As uvicorn writes one, which gives no length for a stream and so always sends it in parts.
    if not transport.is_closing():
        transport.write(b"%x\r\n%b\r\n" % (len(data), data))


_TOO_MANY = ApiError(
    503,
    "too_many_connections",
    "The server has as many connections as it may; use fewer, or come back.",
    retry_after_s=LINGER_S,
)
_HEAD_TOO_LARGE = ApiError(
    431, "headers_too_large", f"The headers are larger than {MAX_HEAD_BYTES} bytes."
)


def _not_http(error: httptools.HttpParserError) -> ApiError:
    # What a callback of ours raised is the context of llhttp's own error.
    cause = error.__context__ or error
    return ApiError(400, "invalid_http", f"This is not valid HTTP/1.1: {cause}.")

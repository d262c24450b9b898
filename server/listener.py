"""The port, and uvicorn on it without its own idea of signals and of errors."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import Iterator
from functools import partial
from http import HTTPStatus
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from neuron.errors import SpecserveError
from server import defaults
from server.errors import ApiError
from server.head_timer import HeadTimer
from server.request_id import choose
from server.responses import DROP, JSON, REQUEST_ID, raw_headers

CLOSE_S = 3
KEEP_ALIVE_S = 75
# Of the request line and all headers. What one read brings on top of it is still taken.
MAX_HEAD_BYTES = 64 * 1024


class Listener(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # server.shutdown has them: uvicorn would close the port first and drain without a bound.
        yield


class Protocol(H11Protocol):
    def __init__(self, *args: Any, head_timeout_s: float, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **kwargs)
        self._head_timeout_s = head_timeout_s

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head = HeadTimer(self.loop, self._head_timeout_s, self._head_is_late)
        self._head.waits(True)
        self.app_state = {**self.app_state, DROP: transport.abort}

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP reaches no app; it is answered here, in the same form."""
        # Where an answer has begun, a second one would end up inside it.
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._refuse(_refusal(sys.exception()))
        self.transport.close()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._head.waits(self._head_has_begun())

    def on_response_complete(self) -> None:
        super().on_response_complete()
        # What came behind the last request may be part of the next.
        self._head.waits(self._head_has_begun())

    def connection_lost(self, exc: Exception | None) -> None:
        self._head.stop()
        super().connection_lost(exc)

    def _head_has_begun(self) -> bool:
        return self.conn.their_state is h11.IDLE and bool(self.conn.trailing_data[0])

    def _head_is_late(self) -> None:
        if self._head_has_begun():
            text = f"The headers did not arrive within {self._head_timeout_s:g} s."
            self._refuse(ApiError(408, "timeout_headers", text))
        self.transport.close()

    def timeout_keep_alive_handler(self) -> None:
        # Not close(), which would wait for a client that does not read the answer it has.
        self.transport.abort()

    def _refuse(self, error: ApiError) -> None:
        body = error.body()
        headers = {
            "content-type": JSON,
            "content-length": str(len(body)),
            "connection": "close",
            REQUEST_ID: choose(None),
        }
        start = h11.Response(
            status_code=error.status,
            reason=HTTPStatus(error.status).phrase,
            headers=raw_headers(headers),
        )
        for event in (start, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")


def _refusal(cause: BaseException | None) -> ApiError:
    if isinstance(cause, h11.RemoteProtocolError) and cause.error_status_hint == 431:
        return ApiError(
            431, "headers_too_large", f"The headers are larger than {MAX_HEAD_BYTES} bytes."
        )
    return ApiError(400, "invalid_http", f"This is not valid HTTP/1.1: {cause}.")


def make_listener(
    app: ASGIApp,
    keep_alive_s: int = KEEP_ALIVE_S,
    head_timeout_s: float = defaults.HEADER_TIMEOUT_S,
) -> Listener:
    config = uvicorn.Config(
        app,
        http=partial(Protocol, head_timeout_s=head_timeout_s),  # type: ignore[arg-type]
        ws="none",
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        # Its warnings are about what clients send, and no client writes our log.
        log_level="error",
        access_log=False,
        timeout_graceful_shutdown=CLOSE_S,
        timeout_keep_alive=keep_alive_s,
        server_header=False,
        lifespan="off",
    )
    return Listener(config)


def bind(host: str, port: int, options: str = "--") -> socket.socket:
    """Before the engine starts, so that a taken port is known at once."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise SpecserveError(
            f"Cannot listen on {host}:{port}: {error.strerror}; "
            f"choose another {options}port or {options}host."
        ) from error
    return listener


def url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

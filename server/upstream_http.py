"""Upstream over HTTP/1.1 with httptools: TCP, TLS or a Unix socket; connections are used again.

Written out instead of taken from a client library: those wake a task for each chunk through
readers of their own, which costs more than all the rest of the gateway's work on it. Here a
chunk goes from the engine's socket to the client's in one callback.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import httptools

from server.upstream import UpstreamRefusedError, UpstreamTimeoutError
from server.upstream_answer import HttpAnswer

# Of an engine's answer; its status and headers are few.
MAX_HEAD_BYTES = 64 * 1024
# Below the 5 s after which vLLM closes an idle connection, so that none is used as it closes.
KEEP_ALIVE_S = 2.0
HTTPS_PORT, HTTP_PORT = 443, 80


class Connection(asyncio.Protocol):
    """One request at a time; the parser's callbacks are here too."""

    def __init__(self) -> None:
        self.reusable = True
        self._parser = httptools.HttpResponseParser(self)
        self._answer: HttpAnswer | None = None
        self._sized = False
        """The head says where the body ends."""
        self._head_bytes = 0

    async def exchange(self, message: bytes) -> HttpAnswer:
        self._answer = answer = HttpAnswer(self._transport)
        self._transport.write(message)
        await answer.head()
        return answer

    def release(self) -> bool:
        """Whether the connection can be used for another request; it is closed if not."""
        done = self._answer is not None and self._answer.ended
        if done and self.reusable and not self._transport.is_closing():
            self._answer = None
            # Its end would not be seen else, and it would be used after that.
            self._transport.resume_reading()
            return True
        self.close()
        return False

    def close(self) -> None:
        self.reusable = False
        self._transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        answer = self._answer
        if answer is None or answer.ended:
            # Nothing was asked.
            self.close()
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            answer.lost(f"no HTTP: {error}")
            self.close()
            return
        if not answer.status:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                answer.lost("a head without end")
                self.close()
                return
        answer.arrived()

    def connection_lost(self, exc: Exception | None) -> None:
        self.reusable = False
        if self._answer is None:
            return
        if self._answer.status and not self._sized and exc is None:
            self._answer.ended = True
        self._answer.lost("the connection was closed" if exc is None else str(exc))

    def on_message_begin(self) -> None:
        self._head: dict[str, str] = {}
        self._head_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < HTTPStatus.OK or self._answer is None:
            return
        self._answer.headers, self._answer.status = self._head, status
        self._sized = not {"content-length", "transfer-encoding"}.isdisjoint(self._head)

    def on_body(self, part: bytes) -> None:
        if self._answer is not None:
            self._answer.body(part)

    def on_message_complete(self) -> None:
        if self._answer is not None and self._answer.status:
            self._answer.ended = True
            self.reusable = self._parser.should_keep_alive()


@dataclass(frozen=True)
class HttpUpstream:
    _connect: Callable[[], Awaitable[Connection]]
    _host: str
    _idle: list[tuple[Connection, asyncio.TimerHandle]] = field(default_factory=list)

    @asynccontextmanager
    async def post(
        self, path: str, body: bytes, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[HttpAnswer]:
        more = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        head = (
            f"POST {path} HTTP/1.1\r\nhost: {self._host}\r\ncontent-type: application/json\r\n"
            f"accept-encoding: identity\r\ncontent-length: {len(body)}\r\n{more}\r\n"
        )
        connection = self._reused() or await self._connect()
        try:
            yield await connection.exchange(head.encode() + body)
        finally:
            if connection.release():
                timer = asyncio.get_running_loop().call_later(KEEP_ALIVE_S, connection.close)
                self._idle.append((connection, timer))

    def close(self) -> None:
        while (connection := self._reused()) is not None:
            connection.close()

    def _reused(self) -> Connection | None:
        while self._idle:
            connection, timer = self._idle.pop()
            timer.cancel()
            if connection.reusable:
                return connection
        return None


@asynccontextmanager
async def http_upstream(
    base_url: str, *, uds: Path | None = None, connect_s: float
) -> AsyncIterator[HttpUpstream]:
    """`base_url` is http or https and has no path; with `uds` its host is only a name."""
    parts = urlsplit(base_url)
    secure = ssl.create_default_context() if parts.scheme == "https" else None
    port = parts.port or (HTTPS_PORT if secure else HTTP_PORT)

    async def connect() -> Connection:
        loop = asyncio.get_running_loop()
        try:
            with anyio.fail_after(connect_s):
                if uds is not None:
                    return (await loop.create_unix_connection(Connection, str(uds)))[1]
                return (
                    await loop.create_connection(Connection, parts.hostname or "", port, ssl=secure)
                )[1]
        except TimeoutError as error:
            raise UpstreamTimeoutError(f"no connection within {connect_s:g} s") from error
        except OSError as error:
            raise UpstreamRefusedError(str(error)) from error

    upstream = HttpUpstream(connect, parts.netloc)
    try:
        yield upstream
    finally:
        upstream.close()

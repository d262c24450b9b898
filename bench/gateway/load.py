"""The load: streams or short calls from one thread, each chunk stamped when it arrives.

    python -m bench.gateway.load URL streams --count 64 --chunks 250
    python -m bench.gateway.load URL calls --count 16 --seconds 5

Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import re
import select
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from math import inf
from typing import Any
from urllib.parse import urlsplit

import httptools

from bench.gateway.fake_engine import KEY, MODEL

READ_BYTES = 1 << 16
CONNECT_S = 10.0
# How exactly a stream is opened when it is due, and how soon the end of time is noticed.
TICK_S, LOOK_S = 0.0005, 1.0
STAMPED = re.compile(rb'"content": ?"(\d+):(\d+);')


@dataclass(eq=False)
class Stream:
    """One answer as it comes; the parser's callbacks are here too."""

    sock: socket.socket
    arrivals: list[tuple[int, int, int]] = field(default_factory=list)
    """Number, when it was sent and when it arrived, in ns."""
    done: bool = False
    """`[DONE]` has come."""
    ended: bool = False
    status: int = 0
    _rest: bytes = b""
    _now: int = 0

    def __post_init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)

    def read(self) -> bool:
        """False: nothing more comes."""
        data = self.sock.recv(READ_BYTES)
        self._now = time.monotonic_ns()
        if data:
            self._parser.feed_data(data)
        return bool(data) and not self.ended

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        text = self._rest + body
        end = text.rfind(b"\n") + 1
        whole, self._rest = text[:end], text[end:]
        for number, sent in STAMPED.findall(whole):
            self.arrivals.append((int(number), int(sent), self._now))
        self.done = self.done or b"[DONE]" in whole

    def on_message_complete(self) -> None:
        self.ended = True

    def is_complete(self, chunks: int) -> bool:
        """All chunks, each once and in order, and the end mark."""
        return self.done and [number for number, _, _ in self.arrivals] == list(range(chunks))


@dataclass(frozen=True)
class Server:
    host: str
    port: int

    @classmethod
    def at(cls, url: str) -> Server:
        parts = urlsplit(url)
        return cls(parts.hostname or "", parts.port or 80)

    def connected(self) -> socket.socket:
        sock = socket.create_connection((self.host, self.port), CONNECT_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def request(self, **more: object) -> bytes:
        chat = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], **more}
        body = json.dumps(chat).encode()
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: {self.host}\r\n"
            f"content-type: application/json\r\nauthorization: Bearer {KEY}\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


def run_streams(
    server: Server, count: int, chunks: int, *, step_ms: int, spread_s: float, limit_s: float
) -> Mapping[str, Any]:
    """`count` streams opened evenly over `spread_s`, until all have ended or `limit_s` is over."""
    message = server.request(stream=True, max_tokens=chunks, seed=step_ms)
    waiting = [Stream(server.connected()) for _ in range(count)]
    streams = tuple(waiting)
    by_fd: dict[int, Stream] = {}
    began = time.monotonic()
    all_asked = 0
    with select.epoll() as epoll:
        while (waiting or by_fd) and time.monotonic() < began + limit_s:
            opened = count - len(waiting)
            if waiting and time.monotonic() >= began + spread_s * opened / count:
                stream = waiting.pop()
                by_fd[stream.sock.fileno()] = stream
                epoll.register(stream.sock, select.EPOLLIN)
                stream.sock.sendall(message)
                all_asked = time.monotonic_ns()
            for fd, _ in epoll.poll(TICK_S if waiting else LOOK_S):
                if not by_fd[fd].read():
                    epoll.unregister(fd)
                    del by_fd[fd]
    for stream in streams:
        stream.sock.close()
    return {
        "seconds": time.monotonic() - began,
        "arrived": sum(len(stream.arrivals) for stream in streams),
        "complete": sum(stream.is_complete(chunks) for stream in streams),
        "delays_us": sorted(delay // 1000 for delay in delays_of_all(streams, all_asked, chunks)),
    }


def delays_of_all(streams: Sequence[Stream], begin: int, chunks: int) -> Iterator[int]:
    """In ns, of what was sent from `begin`, when all were asked for, to the first last chunk."""
    arrivals = [each for stream in streams for each in stream.arrivals]
    end = min((sent for number, sent, _ in arrivals if number == chunks - 1), default=inf)
    for _, sent, arrived in arrivals:
        if begin <= sent <= end:
            yield arrived - sent


def run_calls(server: Server, count: int, seconds: float) -> Mapping[str, Any]:
    """Over `count` connections, each of which sends its next call when it has its answer."""
    message = server.request(max_tokens=1)
    by_fd = {}
    answered = failed = 0
    with select.epoll() as epoll:
        for _ in range(count):
            stream = Stream(server.connected())
            by_fd[stream.sock.fileno()] = stream
            epoll.register(stream.sock, select.EPOLLIN)
            stream.sock.sendall(message)
        began = time.monotonic()
        while time.monotonic() < began + seconds:
            for fd, _ in epoll.poll(LOOK_S):
                stream = by_fd[fd]
                if stream.read():
                    continue
                if not stream.ended:
                    sys.exit("The other side closed the connection in the middle of an answer.")
                answered += 1
                failed += stream.status != HTTPStatus.OK
                by_fd[fd] = Stream(stream.sock)
                stream.sock.sendall(message)
        took = time.monotonic() - began
    return {"seconds": took, "answered": answered, "failed": failed}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    kinds = parser.add_subparsers(dest="kind", required=True)
    streams = kinds.add_parser("streams")
    streams.add_argument("--count", type=int, required=True)
    streams.add_argument("--chunks", type=int, required=True)
    streams.add_argument("--step-ms", type=int, required=True)
    streams.add_argument("--spread-s", type=float, required=True)
    streams.add_argument("--limit-s", type=float, required=True)
    calls = kinds.add_parser("calls")
    calls.add_argument("--count", type=int, required=True)
    calls.add_argument("--seconds", type=float, required=True)
    given = vars(parser.parse_args())
    server, kind = Server.at(given.pop("url")), given.pop("kind")
    json.dump((run_streams if kind == "streams" else run_calls)(server, **given), sys.stdout)


if __name__ == "__main__":
    main()

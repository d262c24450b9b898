"""A fake engine that speaks vLLM's API, sends chunks on a schedule and says when it sent each.

    python -m bench.gateway.fake_engine --port 9000 --step-ms 20

A stream of `max_tokens` chunks begins when its request arrives; chunk i is due i steps later. A
step is a request's `seed` in ms where it has one. A chunk's text is `i:t;`, t being CLOCK_MONOTONIC
in ns at the moment of the send, which every process of this machine can compare with its own.
One thread over epoll: an event loop's timers tick in whole milliseconds, more than is measured.
"""

from __future__ import annotations

import argparse
import heapq
import json
import select
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

MODEL = "fake"
# No secret: litellm does not start without a key, the others take any.
KEY = "sk-fake-c2b1f0a6d5e4978812ab34cd56ef7890"
# How late a request may be noticed while streams run.
LOOK_S = 0.001
READ_BYTES = 1 << 16

HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
CHUNK = (
    'data: {"id":"chatcmpl-fake","object":"chat.completion.chunk","created":1,"model":"fake",'
    '"choices":[{"index":0,"delta":{"content":"%s"},"logprobs":null,"finish_reason":%s,'
    '"token_ids":null}]}\n\n'
)
USAGE = (
    'data: {"id":"chatcmpl-fake","object":"chat.completion.chunk","created":1,"model":"fake",'
    '"choices":[],"usage":{"prompt_tokens":8,"completion_tokens":%d,"total_tokens":%d}}\n\n'
)
WHOLE = {
    "id": "chatcmpl-fake",
    "object": "chat.completion",
    "created": 1,
    "model": MODEL,
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}
    ],
    "usage": {"prompt_tokens": 8, "completion_tokens": 1, "total_tokens": 9},
}
# What the gateway's start-up check wants to see: a text whose tokens were the likeliest.
CHECKED = {
    "choices": [
        {"index": 0, "text": "6", "finish_reason": "length"}
        | {"logprobs": {"token_logprobs": [0.0] * 16, "top_logprobs": [{"6": 0.0}] * 16}}
    ]
}
MODELS = {
    "object": "list",
    "data": [{"id": MODEL, "object": "model", "created": 1, "owned_by": "fake"}],
}


@dataclass(eq=False)
class FakeStream:
    peer: FakePeer
    chunks: int
    step_s: float
    sent: int = 0

    def next_bytes(self) -> bytes:
        """Stamped now."""
        last = self.sent == self.chunks - 1
        text = f"{self.sent}:{time.monotonic_ns()};"
        self.sent += 1
        data = framed(CHUNK % (text, '"length"' if last else "null"))
        if last:
            data += framed(USAGE % (self.chunks, self.chunks + 8))
            data += framed("data: [DONE]\n\n") + b"0\r\n\r\n"
        return data

    @property
    def done(self) -> bool:
        return self.sent == self.chunks


def framed(event: str) -> bytes:
    return f"{len(event):x}\r\n{event}\r\n".encode()


@dataclass(eq=False)
class FakePeer:
    sock: socket.socket
    received: bytes = b""
    closes: bool = False
    """Its client asked for no other answer on this connection."""
    over: bool = False
    unsent: bytearray = field(default_factory=bytearray)

    def send(self, data: bytes) -> bool:
        """False: not all of it went; it waits."""
        if not self.unsent:
            data = data[self._send(data) :]
        self.unsent += data
        return not self.unsent

    def flush(self) -> bool:
        del self.unsent[: self._send(self.unsent)]
        return not self.unsent

    def requests(self) -> Iterator[tuple[str, bytes]]:
        """Path and body of each whole request."""
        while True:
            head, end, rest = self.received.partition(b"\r\n\r\n")
            if not end:
                return
            length = content_length(head)
            if len(rest) < length:
                return
            self.received = rest[length:]
            self.closes = b"connection: close" in head.lower()
            yield head.split(b" ", 2)[1].decode(), rest[:length]

    def _send(self, data: bytes | bytearray) -> int:
        try:
            return self.sock.send(data)
        except BlockingIOError:
            return 0


def content_length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    return 0


def answer(document: object) -> bytes:
    body = json.dumps(document, separators=(",", ":")).encode()
    head = (
        f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class FakePacedEngine:
    def __init__(self, listener: socket.socket, step_s: float) -> None:
        self._listener = listener
        self._step_s = step_s
        self._epoll = select.epoll()
        self._epoll.register(listener, select.EPOLLIN)
        self._peers: dict[int, FakePeer] = {}
        self._due: list[tuple[float, int, FakeStream]] = []
        self._opened = 0

    def run(self, until: Callable[[], bool] = lambda: False) -> None:
        while not until():
            wait_s = self._due[0][0] - time.monotonic() if self._due else None
            if wait_s is not None and wait_s > 0:
                time.sleep(min(wait_s, LOOK_S))
            self._look(None if wait_s is None else 0)
            now = time.monotonic()
            while self._due and self._due[0][0] <= now:
                self._emit(*heapq.heappop(self._due))

    def _emit(self, due: float, number: int, stream: FakeStream) -> None:
        if stream.peer.sock.fileno() < 0:
            return
        try:
            if not stream.peer.send(stream.next_bytes()):
                self._epoll.modify(stream.peer.sock, select.EPOLLIN | select.EPOLLOUT)
        except ConnectionError:
            self._drop(stream.peer)
            return
        if not stream.done:
            heapq.heappush(self._due, (due + stream.step_s, number, stream))
        elif stream.peer.closes:
            stream.peer.over = True
            self._end(stream.peer)

    def _look(self, timeout_s: float | None) -> None:
        for fd, events in self._epoll.poll(timeout_s):
            if fd == self._listener.fileno():
                self._accept()
                continue
            peer = self._peers[fd]
            try:
                if events & select.EPOLLOUT and peer.flush():
                    self._epoll.modify(fd, select.EPOLLIN)
                    if peer.over:
                        self._end(peer)
                        continue
                if events & ~select.EPOLLOUT:
                    self._read(peer)
            except ConnectionError:
                self._drop(peer)

    def _accept(self) -> None:
        sock, _ = self._listener.accept()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._peers[sock.fileno()] = FakePeer(sock)
        self._epoll.register(sock, select.EPOLLIN)

    def _read(self, peer: FakePeer) -> None:
        data = peer.sock.recv(READ_BYTES)
        if not data:
            self._drop(peer)
            return
        peer.received += data
        for path, body in peer.requests():
            self._serve(peer, path, body)

    def _serve(self, peer: FakePeer, path: str, body: bytes) -> None:
        if path.startswith("/v1/models"):
            peer.send(answer(MODELS))
        elif not path.startswith("/v1/"):
            peer.send(answer({}))
        elif not (request := json.loads(body)).get("stream"):
            peer.send(answer(CHECKED if path == "/v1/completions" else WHOLE))
        else:
            peer.send(HEAD)
            self._opened += 1
            step_s = request["seed"] / 1e3 if "seed" in request else self._step_s
            stream = FakeStream(peer, request["max_tokens"], step_s)
            heapq.heappush(self._due, (time.monotonic() + step_s, self._opened, stream))

    def _end(self, peer: FakePeer) -> None:
        if not peer.unsent:
            self._drop(peer)

    def _drop(self, peer: FakePeer) -> None:
        del self._peers[peer.sock.fileno()]
        peer.sock.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--step-ms", type=float, default=20.0)
    options = parser.parse_args()
    with socket.create_server(("127.0.0.1", options.port), backlog=2048) as listener:
        FakePacedEngine(listener, options.step_ms / 1e3).run()


if __name__ == "__main__":
    main()

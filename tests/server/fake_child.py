"""A fake engine as a process: `fake_child.py PORT [MODE]`.

MODE `crash` ends at once with code 3, `deaf` ignores SIGTERM, `fork` leaves a child of its
own that outlives it, `hold` keeps every chat waiting until POST /release, and `pause` does, a
stream after its first chunk. It answers /health, /v1/models, the start-up completions, and
GET /waiting with how many chats wait.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LOGPROBS = {"token_logprobs": [0.0] * 16, "top_logprobs": [{"a": 0.0}] * 16}
COMPLETION = {
    "choices": [{"index": 0, "text": "x", "finish_reason": "length", "logprobs": LOGPROBS}]
}
CHUNK = {"choices": [{"index": 0, "delta": {"content": "begun"}, "finish_reason": None}]}
LAST = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}


class FakeHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    mode = ""
    waiting = 0
    lock = threading.Lock()
    released = threading.Event()

    def do_GET(self) -> None:
        if self.path == "/waiting":
            self._answer({"waiting": FakeHandler.waiting})
            return
        self._answer({"data": [{"id": "fake"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path == "/release":
            self.released.set()
        held = self.mode in ("hold", "pause") and self.path.endswith("/chat/completions")
        begins = self.mode == "pause" and body.get("stream")
        if held and not begins:
            self._wait()
        if not body.get("stream"):
            self._answer(COMPLETION)
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        self._event(CHUNK)
        if begins:
            self._wait()
        # max_tokens is this fake's seconds between its two chunks.
        time.sleep(body.get("max_tokens", 0))
        self._event(LAST)
        self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")

    def _wait(self) -> None:
        with self.lock:
            FakeHandler.waiting += 1
        self.released.wait()

    def _event(self, document: object) -> None:
        self._chunk(b"data: " + json.dumps(document).encode() + b"\n\n")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def _answer(self, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


def main(port: int, mode: str = "") -> None:
    sys.stderr.write(f"fake engine {mode} on {port}\n")
    sys.stderr.flush()
    if mode == "crash":
        sys.exit(3)
    if mode == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if mode == "fork" and os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        sys.stderr.write(f"worker {os.getpid()}\n")
        sys.stderr.flush()
        time.sleep(600)
        os._exit(0)
    FakeHandler.mode = mode
    server = ThreadingHTTPServer(("127.0.0.1", port), FakeHandler)
    server.daemon_threads = True
    server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])

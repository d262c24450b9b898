"""A fake of vLLM's HTTP surface as far as a probe asks: real sockets, state that a test sets."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class FakeVllm:
    url: str = ""
    generated: float = 100.0
    running: float = 0.0
    waiting: float = 0.0
    status: int = 200
    """Of a completion."""
    metrics: bool = True
    on_ask: dict[str, float] = field(default_factory=dict)
    """What a completion changes before it is answered."""
    hang: threading.Event | None = None
    """A completion is answered when it is set."""
    asked: list[str] = field(default_factory=list)
    connections: set[tuple[str, int]] = field(default_factory=set)

    def text(self) -> str:
        if not self.metrics:
            return "python_info 1\n"
        return (
            "# HELP vllm:generation_tokens_total Tokens.\n"
            f'vllm:generation_tokens_total{{engine="0",model_name="m {{}}"}} {self.generated}\n'
            f'vllm:generation_tokens_total{{engine="1",model_name="m"}} 1e+00\n'
            f'vllm:num_requests_running{{engine="0"}} {self.running}\n'
            f'vllm:num_requests_waiting{{engine="0"}} {self.waiting}\n'
        )


@contextmanager
def fake_vllm(fake: FakeVllm) -> Iterator[FakeVllm]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            fake.asked.append(self.path)
            fake.connections.add(self.client_address)
            if self.path == "/metrics":
                self._answer(200, fake.text())
            else:
                self._answer(200, json.dumps({"data": [{"id": "m"}]}))

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            fake.asked.append(self.path)
            for name, value in fake.on_ask.items():
                setattr(fake, name, value)
            if fake.hang is not None:
                fake.hang.wait(30)
            self._answer(fake.status, "{}")

        def _answer(self, status: int, text: str) -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            # Who asked may have given up by now.
            with suppress(ConnectionError):
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield fake
    finally:
        if fake.hang is not None:
            fake.hang.set()
        server.shutdown()
        thread.join()
        server.server_close()

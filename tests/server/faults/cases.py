"""Every fault of an engine, what its client then sees, and what is counted.

The table in docs/gateway-faults.md is `table()`; tests/server/faults/test_engine.py runs each row.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

import anyio

from server.errors import Code
from server.timeouts import Timeouts
from tests.server.conftest import documented
from tests.server.fake_engine import FakeWire, Script, text_chunk, whole

Kind = Literal["stream", "whole"]
LONG = Timeouts(first_token=60, chunk=60, total=60)
SHORT = Timeouts(connect=0.3, first_token=0.5, chunk=0.5, total=60)
TOTAL = Timeouts(first_token=60, chunk=60, total=0.5)
# An event that an engine never ends; the gateway keeps 16 MiB of one.
ENDLESS_PART = b"x" * (1 << 20)


@dataclass(frozen=True)
class Fault:
    name: str
    kind: Kind
    begun: bool
    """The client has had tokens before it; then the error comes as an event."""
    script: Script | None
    """None: nothing accepts the connection."""
    code: Code | None
    """None: the answer is whole, the fault costs only time."""
    timeouts: Timeouts = LONG

    @property
    def status(self) -> int:
        return 200 if self.code is None or self.begun else documented()[self.code]

    @property
    def counted(self) -> str:
        """The labels of specserve_requests_total."""
        if self.code is None:
            return 'status="200",code="ok"'
        return f'status="{documented()[self.code]}",code="{self.code}"'

    @property
    def seen(self) -> str:
        if self.code is None:
            return "200, complete"
        return f"error event `{self.code}`" if self.begun else f"{self.status} `{self.code}`"


async def first(wire: FakeWire) -> None:
    await wire.begin()
    await wire.event(text_chunk("begun"))
    # A reset would overtake what was not yet read.
    await anyio.sleep(0.05)


def after(*steps: Callable[[FakeWire], Awaitable[None]]) -> Script:
    async def script(wire: FakeWire) -> None:
        for step in steps:
            await step(wire)

    return script


def sends(data: bytes) -> Script:
    async def script(wire: FakeWire) -> None:
        await wire.raw(data)

    return script


def part(data: bytes) -> Script:
    async def script(wire: FakeWire) -> None:
        await wire.piece(data)

    return script


async def begin(wire: FakeWire) -> None:
    await wire.begin()


async def reset(wire: FakeWire) -> None:
    wire.reset()


async def close(wire: FakeWire) -> None:
    wire.writer.transport.abort()


async def hang(wire: FakeWire) -> None:
    await wire.gone.wait()


async def end(wire: FakeWire) -> None:
    await wire.end()


async def done(wire: FakeWire) -> None:
    await wire.done()


async def finish(wire: FakeWire) -> None:
    await wire.event(text_chunk("", finish="stop"))
    await wire.done()


async def endless(wire: FakeWire) -> None:
    while not wire.gone.is_set():
        await wire.piece(ENDLESS_PART)


async def drips(wire: FakeWire) -> None:
    while not wire.gone.is_set():
        await wire.event(text_chunk("x"))
        await anyio.sleep(0.05)


async def drips_and_ends(wire: FakeWire) -> None:
    for _ in range(4):
        await anyio.sleep(0.2)
        await wire.event(text_chunk("x"))


def answered(content_type: str, body: bytes, *, length: int | None = None) -> Script:
    size = len(body) if length is None else length
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {size}\r\n\r\n"
    return sends(head.encode() + body)


BODY = json.dumps(whole()).encode()
HTML = "text/html"
EVENTS = "text/event-stream"
JSON = "application/json"
NO_HTTP = sends(b"\x16\x03\x01\x02\x00 this is no HTTP \r\n\r\n")

FAULTS = (
    Fault("no engine at its address", "stream", False, None, "engine_unavailable"),
    Fault("no engine at its address", "whole", False, None, "engine_unavailable"),
    Fault("killed before its head", "stream", False, close, "engine_lost"),
    Fault("killed after its head", "stream", False, after(begin, close), "engine_lost"),
    Fault("killed in the stream", "stream", True, after(first, close), "engine_lost"),
    Fault("killed before its head", "whole", False, close, "engine_lost"),
    Fault("reset before its head", "stream", False, reset, "engine_lost"),
    Fault("reset after its head", "stream", False, after(begin, reset), "engine_lost"),
    Fault("reset in the stream", "stream", True, after(first, reset), "engine_lost"),
    Fault("reset before its head", "whole", False, reset, "engine_lost"),
    Fault("hung before its head", "stream", False, hang, "timeout_first_token", SHORT),
    Fault("hung after its head", "stream", False, after(begin, hang), "timeout_first_token", SHORT),
    Fault("hung in the stream", "stream", True, after(first, hang), "timeout_chunk", SHORT),
    Fault("hung before its head", "whole", False, hang, "timeout_total", TOTAL),
    Fault(
        "slow, each chunk within `--chunk-timeout`", "stream", True,
        after(first, drips_and_ends, finish), None, SHORT,
    ),
    Fault("never done", "stream", True, after(first, drips), "timeout_total", TOTAL),
    Fault("no HTTP", "stream", False, NO_HTTP, "engine_lost"),
    Fault("no HTTP", "whole", False, NO_HTTP, "engine_lost"),
    Fault(
        "a head without end", "stream", False,
        sends(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 50_000), "engine_lost",
    ),
    Fault(
        "a bad chunk of the transfer coding", "stream", True,
        after(first, sends(b"zz\r\n{}\r\n")), "engine_lost",
    ),
    Fault(
        "an event that is no JSON", "stream", True,
        after(first, part(b"data: {o\n\n")), "engine_lost",
    ),
    Fault(
        "an event that is no object", "stream", True,
        after(first, part(b"data: 7\n\n")), "engine_lost",
    ),
    Fault(
        "bytes that are no text", "stream", True,
        after(first, part(b"data: \xff\xfe\n\n")), "engine_lost",
    ),
    Fault("an event without end", "stream", True, after(first, endless), "engine_lost"),
    Fault("an answer that is no JSON", "whole", False, answered(JSON, b"<oops>"), "engine_lost"),
    Fault("an answer that is no object", "whole", False, answered(JSON, b"[7]"), "engine_lost"),
    Fault(
        "an event cut off", "stream", True,
        after(first, part(b'data: {"choices": ['), end), "engine_lost",
    ),
    Fault("an end without `[DONE]`", "stream", True, after(first, end), "engine_lost"),
    Fault("`[DONE]` without a finish", "stream", True, after(first, done), "engine_lost"),
    Fault(
        "an answer cut off", "whole", False,
        after(answered(JSON, BODY, length=2 * len(BODY)), close), "engine_lost",
    ),
    Fault("another content type", "stream", False, answered(HTML, b"<html>"), "engine_unexpected"),
    Fault(
        "JSON where a stream was asked for", "stream", False,
        answered(JSON, BODY), "engine_unexpected",
    ),
    Fault("another content type", "whole", False, answered(HTML, b"<html>"), "engine_unexpected"),
    Fault(
        "a stream where none was asked for", "whole", False,
        answered(EVENTS, b""), "engine_unexpected",
    ),
)  # fmt: skip


def table() -> str:
    lines = [
        "| the engine is, or sends | asked for | the client sees | `specserve_requests_total` |",
        "|---|---|---|---|",
    ]
    for one in FAULTS:
        asked = "a stream" if one.kind == "stream" else "a whole answer"
        lines.append(f"| {one.name} | {asked} | {one.seen} | `{one.counted}` |")
    return "\n".join(lines) + "\n"

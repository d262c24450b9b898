"""A fake engine on a real socket, whose every byte and fault a test chooses."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio

MODEL = "fake"


@dataclass
class FakeWire:
    """One request that reached the fake engine, and the means to answer it."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    writer: asyncio.StreamWriter
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def json(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.body)
        return document

    async def respond(self, status: int, document: object, **headers: str) -> None:
        body = json.dumps(document).encode()
        lines = [f"HTTP/1.1 {status} X", "content-type: application/json"]
        lines += [f"content-length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.raw("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    async def begin(self) -> None:
        await self.raw(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )

    async def piece(self, data: bytes) -> None:
        await self.raw(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    async def event(self, document: object) -> None:
        await self.piece(b"data: " + json.dumps(document).encode() + b"\n\n")

    async def done(self) -> None:
        await self.piece(b"data: [DONE]\n\n")
        await self.end()

    async def end(self) -> None:
        await self.raw(b"0\r\n\r\n")

    async def raw(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """As a killed process leaves its peers."""
        sock: socket.socket = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Script = Callable[[FakeWire], Awaitable[None]]


def role_chunk(index: int = 0) -> dict[str, Any]:
    """What vLLM opens each choice of a chat stream with, just before its first tokens."""
    chunk = text_chunk("", index=index)
    chunk["choices"][0]["delta"]["role"] = "assistant"
    return chunk


def text_chunk(text: str, *, finish: str | None = None, index: int = 0) -> dict[str, Any]:
    choice = {"index": index, "delta": {"content": text}, "finish_reason": finish}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": MODEL,
        "choices": [choice],
    }


USAGE = {"prompt_tokens": 7, "completion_tokens": 9, "total_tokens": 16}
METRICS = {
    "speculative_decoding": {
        "num_draft_tokens": 10,
        "num_accepted_draft_tokens": 6,
        "num_spec_steps": 2,
    }
}


def usage_chunk(metrics: object = METRICS) -> dict[str, Any]:
    return {**text_chunk(""), "choices": [], "usage": USAGE, "metrics": metrics}


def whole(metrics: object = METRICS) -> dict[str, Any]:
    message = {"role": "assistant", "content": "hello"}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": MODEL,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": USAGE,
        "metrics": metrics,
    }


async def stream_hello(wire: FakeWire) -> None:
    await wire.begin()
    await wire.event(text_chunk("hel"))
    await wire.event(text_chunk("lo", finish="stop"))
    await wire.event(usage_chunk())
    await wire.done()


async def answer_hello(wire: FakeWire) -> None:
    if wire.json.get("stream"):
        await stream_hello(wire)
    else:
        await wire.respond(200, whole())


def answer_with(text: str, **message: object) -> Script:
    """A whole answer to any of the APIs."""

    async def script(wire: FakeWire) -> None:
        if wire.path == "/v1/responses":
            part = {"type": "output_text", "text": text, "annotations": []}
            item = {"type": "message", "id": "m", "role": "assistant", "content": [part]}
            document = {"id": "r", "object": "response", "status": "completed", "output": [item]}
        else:
            document = whole()
            inner = {"role": "assistant", "content": text, **message}
            choice = {"index": 0, "message": inner, "text": text, "finish_reason": "stop"}
            document["choices"] = [choice]
        await wire.respond(200, document)

    return script


MODELS = {
    "object": "list",
    "data": [{"id": MODEL, "object": "model", "created": 1, "owned_by": "x", "root": "/secret"}],
}


@dataclass
class FakeEngine:
    port: int = 0
    script: Script = answer_hello
    models: object = field(default_factory=lambda: MODELS)
    """The answer to GET /v1/models."""
    wires: list[FakeWire] = field(default_factory=list)
    """Completion requests, in order of arrival."""
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def next_wire(self) -> FakeWire:
        with anyio.fail_after(10):
            await self.arrived.wait()
        self.arrived.clear()
        return self.wires[-1]

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (wire := await _read(reader, writer)) is not None:
                await self._answer(wire, reader)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, wire: FakeWire, reader: asyncio.StreamReader) -> None:
        if wire.path == "/health":
            await wire.respond(200, {})
        elif wire.path == "/v1/models":
            await wire.respond(200, self.models)
        else:
            await self._completion(wire, reader)

    async def _completion(self, wire: FakeWire, reader: asyncio.StreamReader) -> None:
        async def watch() -> None:
            # No client of ours pipelines: the next thing read is its leaving.
            try:
                if await reader.read(1) == b"":
                    wire.gone.set()
            except ConnectionError:
                wire.gone.set()

        self.wires.append(wire)
        self.arrived.set()
        watcher = asyncio.ensure_future(watch())
        try:
            await self.script(wire)
        finally:
            watcher.cancel()
            await asyncio.wait([watcher])


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> FakeWire | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.strip().split("\r\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return FakeWire(first.split(" ")[1], headers, body, writer)


@asynccontextmanager
async def fake_engine(script: Script = answer_hello) -> AsyncIterator[FakeEngine]:
    engine = FakeEngine(script=script)
    tasks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(engine.handle(reader, writer))
        tasks.add(task)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    engine.port = server.sockets[0].getsockname()[1]
    try:
        yield engine
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

"""Clients as they come: most want an answer, others leave, stall, or send nonsense."""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from bench.gateway.load import STAMPED, Server

ANSWER_S = 60.0
PAUSE_S = 0.05
CHUNKS = 40
STEP_MS = 10
# Enough that the kernel's buffers do not hide a client that takes nothing.
FLOOD_CHUNKS = 4000
CODE = re.compile(rb'"code": ?"(\w+)"')
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
# What the gateway may say when an engine goes, or when too much is asked of it.
EXPECTED = frozenset(
    {
        "engine_lost", "engine_unavailable", "engine_starting", "engine_restarting",
        "engine_overloaded", "overloaded", "timeout_first_token", "timeout_chunk",
    }
)  # fmt: skip


@dataclass
class Churn:
    server: Server
    rng: random.Random
    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    """What no client should have seen."""

    async def client(self, stop: asyncio.Event) -> None:
        """One client after the other until `stop`."""
        kinds: dict[Callable[[], Awaitable[str]], int] = {
            self._stream: 8,
            self._call: 6,
            self._leaves_at_once: 2,
            self._leaves_in_the_stream: 4,
            self._leaves_its_body: 1,
            self._reads_nothing: 1,
            self._refused: 2,
            self._nonsense: 1,
            self._looks: 2,
        }
        while not stop.is_set():
            (kind,) = self.rng.choices(list(kinds), list(kinds.values()))
            try:
                async with asyncio.timeout(ANSWER_S):
                    self.outcomes[await kind()] += 1
            except TimeoutError:
                self.wrong.append(f"{kind.__name__}: no end within {ANSWER_S:g} s")
            except ConnectionError as error:
                self.wrong.append(f"{kind.__name__}: {type(error).__name__}")
            await asyncio.sleep(self.rng.uniform(0, PAUSE_S))

    async def _stream(self) -> str:
        answer = await self._exchange(
            self.server.request(stream=True, max_tokens=CHUNKS, seed=STEP_MS)
        )
        numbers = [int(number) for number, _ in STAMPED.findall(answer)]
        if numbers != list(range(len(numbers))):
            self.wrong.append(f"a stream out of order: {numbers}")
        if b"data: [DONE]" in answer:
            if len(numbers) != CHUNKS:
                self.wrong.append(f"a stream with {len(numbers)} of {CHUNKS} chunks and [DONE]")
            return "stream"
        return self._told(answer)

    async def _call(self) -> str:
        answer = await self._exchange(self.server.request(max_tokens=1))
        return "call" if _status(answer) == b"200" else self._told(answer)

    async def _leaves_at_once(self) -> str:
        async with self._connected() as (_, writer):
            writer.write(self.server.request(stream=True, max_tokens=CHUNKS, seed=STEP_MS))
            await asyncio.sleep(self.rng.uniform(0, STEP_MS / 1e3))
        return "left at once"

    async def _leaves_in_the_stream(self) -> str:
        async with self._connected() as (reader, writer):
            writer.write(
                _closing(self.server.request(stream=True, max_tokens=CHUNKS, seed=STEP_MS))
            )
            for _ in range(self.rng.randint(1, CHUNKS // 2)):
                if not await reader.read(4096):
                    break
        return "left in the stream"

    async def _leaves_its_body(self) -> str:
        async with self._connected() as (_, writer):
            writer.write(self.server.request(max_tokens=1)[:-5])
            await asyncio.sleep(self.rng.uniform(0, 0.1))
        return "left its body"

    async def _reads_nothing(self) -> str:
        async with self._connected() as (_, writer):
            # Nobody reads, so asyncio soon stops too.
            writer.write(self.server.request(stream=True, max_tokens=FLOOD_CHUNKS, seed=1))
            await asyncio.sleep(self.rng.uniform(0, 1))
        return "read nothing"

    async def _refused(self) -> str:
        answer = await self._exchange(self.server.request(nonsense=True))
        if _status(answer) not in (b"400", b"503"):
            self.wrong.append(f"an unknown field was answered {_status(answer)!r}")
        return "refused"

    async def _nonsense(self) -> str:
        answer = await self._exchange(self.rng.randbytes(64) + b"\r\n\r\n")
        if _status(answer) != b"400":
            self.wrong.append(f"nonsense was answered {answer[:80]!r}")
        return "nonsense"

    async def _looks(self) -> str:
        path = self.rng.choice(["/health/live", "/v1/models", "/metrics", "/nothing"])
        answer = await self._exchange(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        if not _status(answer):
            self.wrong.append(f"{path} was not answered")
        return "looked"

    def _told(self, answer: bytes) -> str:
        found = CODE.search(answer)
        code = found.group(1).decode() if found else ""
        if code not in EXPECTED:
            self.wrong.append(f"an answer ended with {answer[-200:]!r}")
        return code or "cut off"

    async def _exchange(self, message: bytes) -> bytes:
        """Everything up to the end of the answer."""
        async with self._connected() as (reader, writer):
            writer.write(_closing(message))
            return await reader.read(-1)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection(self.server.host, self.server.port)
        try:
            yield reader, writer
        finally:
            # As a process that ends: what was not read is not waited for.
            writer.transport.abort()
            with suppress(ConnectionError):
                await writer.wait_closed()


def _closing(message: bytes) -> bytes:
    """The answer ends with its connection, where `message` is a request at all."""
    return message.replace(b" HTTP/1.1\r\n", b" HTTP/1.1\r\nconnection: close\r\n", 1)


def _status(answer: bytes) -> bytes:
    found = STATUS.match(answer)
    return found.group(1) if found else b""

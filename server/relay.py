"""One request to the engine and its answer back."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Protocol

import anyio
import httpx

from server.answer import Answer
from server.engine_errors import translate
from server.engine_status import EngineView
from server.errors import engine_lost, unavailable
from server.metrics import PoolMetrics
from server.openai_request import CompletionRequest
from server.sse import Event, EventParser, EventTooLongError
from server.stream import StreamReader
from server.timeouts import Timeouts, deadline
from server.usage import Pool, Tokens, acceptance_of, tokens_of, with_acceptance

CLOSE_S = 1.0


class Watch(Protocol):
    """Who balances by what an answer has given so far."""

    def chunk(self) -> None: ...

    def counted(self, tokens: Tokens | None) -> None: ...


@dataclass
class Relay:
    client: httpx.AsyncClient
    engine: EngineView
    pool: Pool
    timeouts: Timeouts
    metrics: PoolMetrics
    clock: Callable[[], float]

    async def run(self, request: CompletionRequest, answer: Answer, watch: Watch) -> None:
        """Raises ApiError, before the answer has begun or in the middle of it."""
        with self._transport_errors():
            if request.stream:
                await self._stream(request, answer, watch)
            else:
                await self._whole(request, answer, watch)

    async def _whole(self, request: CompletionRequest, answer: Answer, watch: Watch) -> None:
        async with self._response(request) as response:
            body = await response.aread()
            self._require_ok(request, response, body)
        try:
            document = json.loads(body)
        except ValueError as error:
            raise engine_lost(self.engine.retry_after_s) from error
        acceptance = acceptance_of(document, self.pool)
        tokens = tokens_of(document)
        watch.counted(tokens)
        self.metrics.generated(tokens, acceptance)
        full = with_acceptance(document, acceptance)
        await answer.whole(json.dumps(full, ensure_ascii=False).encode())

    async def _stream(self, request: CompletionRequest, answer: Answer, watch: Watch) -> None:
        reader = StreamReader(
            request=request, pool=self.pool, retry_after_s=self.engine.retry_after_s
        )
        try:
            await self._pass_on(request, answer, reader, watch)
        finally:
            watch.counted(reader.tokens)
            self.metrics.generated(reader.tokens, reader.acceptance)

    async def _pass_on(
        self, request: CompletionRequest, answer: Answer, reader: StreamReader, watch: Watch
    ) -> None:
        began = self.clock()
        last: float | None = None
        parser = EventParser()
        first_by = anyio.current_time() + self.timeouts.first_token
        async with self._response(request, first_by) as response:
            if response.status_code != httpx.codes.OK:
                self._require_ok(request, response, await response.aread())
            chunks = response.aiter_raw()
            while not reader.done:
                with self._next_deadline(first_by if last is None else None):
                    chunk = await anext(chunks, None)
                if chunk is None:
                    reader.end()
                    break
                for event in _events(parser, chunk, self.engine.retry_after_s):
                    seen, data = reader.chunks, reader.read(event)
                    if reader.chunks > seen:
                        last = self._timed(began, last, single=reader.single)
                        watch.chunk()
                    if data is not None:
                        await answer.piece(data)
            await answer.end()
            # Read to its end, a connection can be used again; it is not worth a wait.
            with anyio.move_on_after(CLOSE_S):
                async for _ in chunks:
                    pass

    def _timed(self, began: float, last: float | None, *, single: bool) -> float:
        now = self.clock()
        if last is None:
            self.metrics.first_chunk(now - began)
        elif single:
            self.metrics.step_gap(now - last)
        return now

    def _next_deadline(self, first_by: float | None) -> AbstractContextManager[None]:
        if first_by is None:
            return deadline("chunk", self.timeouts.chunk)
        left_s = first_by - anyio.current_time()
        return deadline("first_token", self.timeouts.first_token, left_s=left_s)

    @asynccontextmanager
    async def _response(
        self, request: CompletionRequest, first_by: float | None = None
    ) -> AsyncIterator[httpx.Response]:
        message = self.client.build_request(
            "POST",
            request.path,
            content=request.body,
            headers={"content-type": "application/json", "accept-encoding": "identity"},
            timeout=httpx.Timeout(None, connect=self.timeouts.connect),
        )
        if first_by is None:
            response = await self.client.send(message, stream=True)
        else:
            with self._next_deadline(first_by):
                response = await self.client.send(message, stream=True)
        try:
            yield response
        finally:
            # A cancelled request must still close its connection: that is what stops the engine.
            with anyio.move_on_after(CLOSE_S, shield=True):
                await response.aclose()

    def _require_ok(
        self, request: CompletionRequest, response: httpx.Response, body: bytes
    ) -> None:
        if response.status_code == httpx.codes.OK:
            return
        raise translate(
            response.status_code,
            body,
            request=request,
            retry_after_s=self.engine.retry_after_s,
            offered=response.headers.get("retry-after"),
        )

    @contextmanager
    def _transport_errors(self) -> Iterator[None]:
        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise unavailable(
                "engine_unavailable",
                "The engine cannot be reached.",
                retry_after_s=self.engine.retry_after_s,
            ) from error
        except httpx.HTTPError as error:
            raise engine_lost(self.engine.retry_after_s) from error


def _events(parser: EventParser, chunk: bytes, retry_after_s: float) -> Iterator[Event]:
    try:
        yield from parser.feed(chunk)
    except EventTooLongError as error:
        raise engine_lost(retry_after_s) from error

"""One request to the engine and its answer back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus

import anyio
import msgspec

from server.answer import Answer
from server.engine_errors import translate
from server.engine_json import read_object
from server.engine_status import EngineView
from server.errors import ApiError, engine_lost, unavailable
from server.metrics import PoolMetrics
from server.openai_request import CompletionRequest
from server.passing import Passing, Watch
from server.responses import JSON
from server.stream import StreamReader
from server.timeouts import Timeouts, patience
from server.upstream import Upstream, UpstreamAnswer, UpstreamError, UpstreamRefusedError
from server.usage import Pool, acceptance_of, tokens_of, with_acceptance

CLOSE_S = 1.0
EVENTS = "text/event-stream"


@dataclass
class Relay:
    upstream: Upstream
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
        async with self.upstream.post(request.path, request.body) as response:
            body = await response.rest()
            self._require_ok(request, response, body)
            _require_type(request, response, JSON)
        document = read_object(body)
        if document is None:
            raise engine_lost(self.engine.retry_after_s)
        acceptance = acceptance_of(document, self.pool)
        answer.tokens = tokens_of(document)
        watch.counted(answer.tokens)
        self.metrics.generated(answer.tokens, acceptance)
        await answer.whole(msgspec.json.encode(with_acceptance(document, acceptance)))

    async def _stream(self, request: CompletionRequest, answer: Answer, watch: Watch) -> None:
        reader = StreamReader(
            request=request, pool=self.pool, retry_after_s=self.engine.retry_after_s
        )
        try:
            with patience(self.timeouts) as waiting:
                passing = Passing(
                    reader, answer, waiting, watch, self.metrics, self.clock, self.clock()
                )
                await self._pass_on(request, passing)
        finally:
            answer.tokens = reader.tokens
            watch.counted(reader.tokens)
            self.metrics.generated(reader.tokens, reader.acceptance)

    async def _pass_on(self, request: CompletionRequest, passing: Passing) -> None:
        reader, answer = passing.reader, passing.answer
        async with self.upstream.post(request.path, request.body) as response:
            if response.status != HTTPStatus.OK:
                self._require_ok(request, response, await response.rest())
            _require_type(request, response, EVENTS)
            while not reader.done:
                with passing.patience:
                    more = await response.feed(passing.take)
                if not more:
                    reader.end()
                await answer.flush()
            await answer.end()
            # Read to its end, a connection can be used again; it is not worth a wait.
            with anyio.move_on_after(CLOSE_S):
                await response.rest()

    def _require_ok(
        self, request: CompletionRequest, response: UpstreamAnswer, body: bytes
    ) -> None:
        if response.status == HTTPStatus.OK:
            return
        raise translate(
            response.status,
            body,
            request=request,
            retry_after_s=self.engine.retry_after_s,
            offered=response.headers.get("retry-after"),
        )

    @contextmanager
    def _transport_errors(self) -> Iterator[None]:
        try:
            yield
        except UpstreamRefusedError as error:
            raise unavailable(
                "engine_unavailable",
                "The engine cannot be reached.",
                retry_after_s=self.engine.retry_after_s,
            ) from error
        except UpstreamError as error:
            raise engine_lost(self.engine.retry_after_s) from error


def _require_type(request: CompletionRequest, response: UpstreamAnswer, wanted: str) -> None:
    given = response.headers.get("content-type", wanted)
    found = given.partition(";")[0].strip().lower()
    if found != wanted:
        raise ApiError(
            502,
            "engine_unexpected",
            f"The engine answered {request.path} with {found[:80]!r} instead of {wanted}.",
        )

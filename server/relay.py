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
from server.openai_request import UNGENERATED, CompletionRequest
from server.passing import Passing, Watch
from server.responses import JSON
from server.stream import reader_for
from server.structured import Fault, Verdict
from server.structured.whole import examined
from server.timeouts import Timeouts, patience
from server.upstream import Upstream, UpstreamAnswer, UpstreamError, UpstreamRefusedError
from server.usage import Acceptance, Pool, Tokens, acceptance_of, tokens_of, with_acceptance

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
        headers = answer.record.ask()
        async with self.upstream.post(request.path, request.body, headers) as response:
            body = await response.rest()
            self._require_ok(request, response, body)
            _require_type(request, response, JSON)
        document = read_object(body)
        if document is None:
            raise engine_lost(self.engine.retry_after_s)
        if request.path in UNGENERATED:
            await answer.whole(body)
            return
        acceptance = acceptance_of(document, self.pool)
        self._count(request, answer, watch, tokens_of(document), acceptance)
        full = with_acceptance(document, acceptance)
        if request.contract is not None:
            full, verdict = await examined(request.contract, full)
            self._judge(request, answer, verdict)
            if isinstance(verdict, Fault):
                raise verdict.error()
        await answer.whole(msgspec.json.encode(full))

    async def _stream(self, request: CompletionRequest, answer: Answer, watch: Watch) -> None:
        reader = reader_for(request, self.pool, self.engine.retry_after_s)
        try:
            with patience(self.timeouts) as waiting:
                passing = Passing(
                    reader,
                    self.engine.retry_after_s,
                    answer,
                    waiting,
                    watch,
                    self.metrics,
                    self.clock,
                    self.clock(),
                )
                await self._pass_on(request, passing)
        finally:
            self._count(request, answer, watch, reader.tokens, reader.acceptance)
            if reader.verdict is not None:
                self._judge(request, answer, reader.verdict)

    async def _pass_on(self, request: CompletionRequest, passing: Passing) -> None:
        reader, answer = passing.reader, passing.answer
        headers = answer.record.ask()
        async with self.upstream.post(request.path, request.body, headers) as response:
            if response.status != HTTPStatus.OK:
                self._require_ok(request, response, await response.rest())
            _require_type(request, response, EVENTS)
            while not reader.done:
                with passing.patience:
                    more = await response.feed(passing.take)
                if reader.due:
                    await passing.settle()
                elif not more:
                    reader.end()
                await answer.flush()
            await answer.end()
            passing.ended()
            if reader.cut:
                # Not read to its end, the connection is closed: that stops the engine.
                self.metrics.whitespace_cuts.inc()
                return
            # Read to its end, a connection can be used again; it is not worth a wait.
            with anyio.move_on_after(CLOSE_S):
                await response.rest()

    def _count(
        self,
        request: CompletionRequest,
        answer: Answer,
        watch: Watch,
        tokens: Tokens | None,
        acceptance: Acceptance | None,
    ) -> None:
        answer.tokens = answer.record.tokens = tokens
        answer.record.acceptance = acceptance
        watch.counted(tokens)
        self.metrics.generated(tokens, acceptance, request.form)

    def _judge(self, request: CompletionRequest, answer: Answer, verdict: Verdict | Fault) -> None:
        outcome = verdict.kind if isinstance(verdict, Fault) else verdict
        answer.record.structured = outcome
        self.metrics.structured_outputs(request.form, outcome).inc()

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

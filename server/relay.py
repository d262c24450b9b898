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
from server.errors import engine_lost, unavailable
from server.metrics import Metrics
from server.openai_request import UNGENERATED, CompletionRequest
from server.passing import Passing
from server.record import Record
from server.stream import Reader, reader_for
from server.structured import Fault, Verdict
from server.structured.whole import examined
from server.timeouts import Patience, Timeouts, deadline, patience
from server.upstream import Upstream, UpstreamAnswer, UpstreamError, UpstreamRefusedError
from server.usage import Acceptance, Pool, Tokens, acceptance_of, tokens_of, with_acceptance

CLOSE_S = 1.0


@dataclass(frozen=True)
class Relay:
    upstream: Upstream
    engine: EngineView
    pool: Pool
    timeouts: Timeouts
    metrics: Metrics
    clock: Callable[[], float]

    async def run(self, request: CompletionRequest, answer: Answer) -> None:
        """Raises ApiError, before the answer has begun or in the middle of it."""
        with deadline("total", self.timeouts.total), self._transport_errors():
            if request.stream:
                await self._stream(request, answer)
            else:
                await self._whole(request, answer)

    async def _whole(self, request: CompletionRequest, answer: Answer) -> None:
        headers = answer.record.ask()
        async with self.upstream.post(request.path, request.body, headers) as response:
            body = await response.rest()
            self._require_ok(request, response, body)
        document = read_object(body)
        if document is None:
            raise engine_lost(self.engine.retry_after_s)
        if request.path in UNGENERATED:
            await answer.whole(body)
            return
        acceptance = acceptance_of(document, self.pool)
        self._count(request, answer.record, tokens_of(document), acceptance)
        full = with_acceptance(document, acceptance)
        if request.contract is not None:
            full, verdict = await examined(request.contract, full)
            self._judge(request, answer.record, verdict)
            if isinstance(verdict, Fault):
                raise verdict.error()
        await answer.whole(msgspec.json.encode(full))

    async def _stream(self, request: CompletionRequest, answer: Answer) -> None:
        reader = reader_for(request, self.pool, self.engine.retry_after_s)
        try:
            with patience(self.timeouts) as waiting:
                await self._pass_on(request, answer, reader, waiting)
        finally:
            self._count(request, answer.record, reader.tokens, reader.acceptance)
            if reader.verdict is not None:
                self._judge(request, answer.record, reader.verdict)

    async def _pass_on(
        self, request: CompletionRequest, answer: Answer, reader: Reader, waiting: Patience
    ) -> None:
        headers = answer.record.ask()
        passing = Passing(
            reader,
            self.engine.retry_after_s,
            answer,
            waiting,
            self.metrics,
            self.clock,
            self.clock(),
        )
        async with self.upstream.post(request.path, request.body, headers) as response:
            if response.status != HTTPStatus.OK:
                self._require_ok(request, response, await response.rest())
            while not reader.done:
                with waiting:
                    more = await response.feed(passing.take)
                if reader.due:
                    await passing.settle()
                elif not more:
                    reader.end()
                await answer.flush()
            await answer.end()
            per_token = passing.time_per_token()
            if per_token is not None:
                self.metrics.time_per_token(per_token)
            if reader.cut:
                # Not read to its end, the connection is closed: that stops the engine.
                self.metrics.whitespace_cut()
                return
            # Read to its end, a connection can be used again; it is not worth a wait.
            with anyio.move_on_after(CLOSE_S):
                await response.rest()

    def _count(
        self,
        request: CompletionRequest,
        record: Record,
        tokens: Tokens | None,
        acceptance: Acceptance | None,
    ) -> None:
        record.tokens, record.acceptance = tokens, acceptance
        self.metrics.generated(tokens, acceptance, request.form)

    def _judge(self, request: CompletionRequest, record: Record, verdict: Verdict | Fault) -> None:
        record.structured = verdict.kind if isinstance(verdict, Fault) else verdict
        self.metrics.structured(request.form, record.structured)

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

"""POST /v1/chat/completions and /v1/completions, as bare ASGI: it owns every cancellation."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass

import anyio
from starlette.types import Receive, Scope, Send

from server.access import key_of
from server.admission import Admission, shutting_down
from server.answer import Answer
from server.body import read_json_body, watch_disconnect
from server.client_deadline import ClientPatience, patience_of
from server.errors import ApiError, ClientGone
from server.estimate import estimated_tokens
from server.keys import ANONYMOUS
from server.metrics import Metrics, Phase
from server.models import model_not_found
from server.openai_request import CompletionRequest, parse_request
from server.pools.ask import HEADER
from server.pools.dispatcher import Dispatcher
from server.quotas import Quotas
from server.responses import DROP, POOL, header
from server.ticket import Ticket
from server.timeouts import Timeouts, deadline

CLIENT_GONE = 499
"""Counted, never sent: nobody is there to read it."""

Outcome = tuple[int, str]
"""Status and code, as they are counted."""


@dataclass
class CompletionEndpoint:
    dispatcher: Dispatcher
    admission: Admission
    quotas: Quotas
    metrics: Metrics
    timeouts: Timeouts
    max_body_bytes: int
    clock: Callable[[], float]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await _Exchange(self, scope, receive, send).run()


class _Exchange:
    """One request and its answer."""

    def __init__(
        self, endpoint: CompletionEndpoint, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self._to = endpoint
        self._scope = scope
        self._receive = receive
        self._key = key_of(scope)
        self._began = endpoint.clock()
        self._phase: Phase = "body"
        self._ticket: Ticket | None = None
        state = {**scope["state"], DROP: self._drop_slow}
        self._answer = Answer(send, state, endpoint.timeouts.write)

    async def run(self) -> None:
        outcome: Outcome = 500, "internal_error"
        try:
            with self._to.admission.admit(self._scope["state"][DROP], self._key) as ticket:
                self._ticket = ticket
                outcome = await self._answered(ticket)
        except ApiError as error:
            outcome = error.status, error.code
            self._to.metrics.rejected(error.code, self._key.name)
            await self._answer.fail(error)
        finally:
            pool = self._answer.headers.get(POOL)
            passed_s = self._passed_s()
            self._to.metrics.request_ended(self._scope["path"], pool, *outcome, passed_s)

    async def _answered(self, ticket: Ticket) -> Outcome:
        try:
            await self._serve(ticket)
        except ApiError as error:
            if self._phase in ("body", "queue"):
                self._to.metrics.rejected(error.code, self._key.name)
            await self._answer.fail(error)
            return error.status, error.code
        except ClientGone:
            reason = ticket.reason or "client_gone"
            if reason == "client_gone":
                self._to.metrics.disconnected(self._seen_phase(), reason)
            return CLIENT_GONE, reason
        return 200, "ok"

    async def _serve(self, ticket: Ticket) -> None:
        with anyio.CancelScope() as cancel:
            ticket.scope = cancel
            patience = patience_of(self._scope)
            with deadline("body", self._to.timeouts.body):
                body = await read_json_body(self._scope, self._receive, self._to.max_body_bytes)
            asked = header(self._scope, HEADER)
            key_id = None if self._key is ANONYMOUS else self._key.name
            request = parse_request(self._scope["path"], body, asked, key_id)
            if not self._key.may_use(request.model):
                raise model_not_found(request.model)
            self._to.dispatcher.require(request.ask)
            await self._unless_gone(ticket, request, patience)
        if cancel.cancelled_caught and not self._answer.finished:
            raise self._ended(ticket)

    async def _unless_gone(
        self, ticket: Ticket, request: CompletionRequest, patience: ClientPatience
    ) -> None:
        failure: ApiError | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch_disconnect, self._receive, ticket, self._answer)
            try:
                async with self._charged(ticket, request):
                    await self._relayed(ticket, request, patience)
            except ApiError as error:
                # Carried out by hand: a task group would wrap it in a group.
                failure = error
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure

    @asynccontextmanager
    async def _charged(self, ticket: Ticket, request: CompletionRequest) -> AsyncIterator[None]:
        charge = await self._to.quotas.charge(self._key, estimated_tokens(request))
        self._answer.headers.update(charge.headers)
        try:
            yield
        finally:
            used = self._used(ticket)
            if used is not None:
                with anyio.CancelScope(shield=True):
                    await self._to.quotas.settle(charge, used)

    async def _relayed(
        self, ticket: Ticket, request: CompletionRequest, patience: ClientPatience
    ) -> None:
        self._phase = "queue"
        asked = self._to.clock()
        limit_s = patience.queue_s(self._to.timeouts.queue, self._passed_s())
        await self._to.admission.turn(ticket, limit_s)
        self._to.metrics.queued_for(self._key.priority, self._to.clock() - asked)
        self._phase = "prefill"
        self._to.dispatcher.require(request.ask)
        with self._client_deadline(patience):
            await self._to.dispatcher.run(request, self._answer)

    def _client_deadline(self, patience: ClientPatience) -> AbstractContextManager[None]:
        if patience.whole_s is None:
            return nullcontext()
        left_s = patience.whole_s - self._passed_s()
        return deadline("client", patience.whole_s, left_s=left_s)

    def _used(self, ticket: Ticket) -> int | None:
        """Tokens; None: the estimate stands."""
        if self._answer.tokens is not None:
            return self._answer.tokens.prompt + self._answer.tokens.completion
        # Who leaves before the engine counts would otherwise never pay; who was failed does not.
        left = ticket.reason in ("client_gone", "slow_reader") and self._phase != "queue"
        return None if left else 0

    def _ended(self, ticket: Ticket) -> ApiError | ClientGone:
        if ticket.reason == "shutdown":
            return shutting_down()
        if ticket.reason == "pushed_out":
            return self._to.admission.overloaded()
        return ClientGone()

    def _drop_slow(self) -> None:
        self._to.metrics.disconnected(self._seen_phase(), "slow_reader")
        if self._ticket is not None:
            self._ticket.end("slow_reader")
        self._scope["state"][DROP]()

    def _seen_phase(self) -> Phase:
        return self._phase if self._answer.status is None else "answer"

    def _passed_s(self) -> float:
        return self._to.clock() - self._began

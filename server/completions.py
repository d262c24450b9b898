"""POST /v1/chat/completions and /v1/completions, as bare ASGI: it owns every cancellation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import anyio
from starlette.types import Receive, Scope, Send

from server.admission import DRAIN_RETRY_S, Admission, Ticket
from server.answer import Answer
from server.body import read_json_body, watch_disconnect
from server.engine_status import not_ready
from server.errors import ApiError, ClientGone, unavailable
from server.metrics import Metrics
from server.openai_request import CompletionRequest, parse_request
from server.relay import Relay
from server.responses import DROP, POOL
from server.timeouts import deadline

CLIENT_GONE = 499
"""Counted, never sent: nobody is there to read it."""

Outcome = tuple[int, str]
"""Status and code, as they are counted."""


@dataclass(frozen=True)
class CompletionEndpoint:
    relay: Relay
    admission: Admission
    metrics: Metrics
    max_body_bytes: int
    clock: Callable[[], float]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = scope["state"]
        answer = Answer(send, state, self.relay.timeouts.write, {POOL: self.relay.pool})
        began = self.clock()
        outcome: Outcome = 500, "internal_error"
        try:
            with self.admission.admit(state[DROP]) as ticket:
                outcome = await self._answered(ticket, scope, receive, answer)
        except ApiError as error:
            outcome = error.status, error.code
            await answer.fail(error)
        finally:
            self.metrics.request_ended(scope["path"], *outcome, self.clock() - began)

    async def _answered(
        self, ticket: Ticket, scope: Scope, receive: Receive, answer: Answer
    ) -> Outcome:
        try:
            await self._serve(ticket, scope, receive, answer)
        except ApiError as error:
            await answer.fail(error)
            return error.status, error.code
        except ClientGone:
            return CLIENT_GONE, "client_gone"
        return 200, "ok"

    async def _serve(self, ticket: Ticket, scope: Scope, receive: Receive, answer: Answer) -> None:
        with anyio.CancelScope() as cancel:
            ticket.scope = cancel
            with deadline("body", self.relay.timeouts.body):
                body = await read_json_body(scope, receive, self.max_body_bytes)
            request = parse_request(scope["path"], body)
            refusal = not_ready(self.relay.engine)
            if refusal is not None:
                raise refusal
            await self._relay_until_gone(ticket, receive, request, answer)
        if not cancel.cancelled_caught or answer.finished:
            return
        if ticket.reason == "shutdown":
            raise unavailable(
                "shutting_down",
                "The server shut down before the answer was complete. Send the request again.",
                retry_after_s=DRAIN_RETRY_S,
            )
        raise ClientGone

    async def _relay_until_gone(
        self, ticket: Ticket, receive: Receive, request: CompletionRequest, answer: Answer
    ) -> None:
        failure: ApiError | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch_disconnect, receive, ticket, answer)
            try:
                await self.relay.run(request, answer)
            except ApiError as error:
                # Carried out by hand: a task group would wrap it in a group.
                failure = error
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure

"""Around every request: its id, its record, its trace and its line in the log."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.record import RECORD, Record
from server.request_id import choose
from server.request_log import NoLog, RequestLog
from server.responses import REQUEST_ID, header
from server.tracing import CARRIED, NoTracing, Tracing

# What asks every few seconds, and leaves no line and no span.
PROBES = frozenset({"/health/live", "/health/ready", "/metrics"})


@dataclass(frozen=True)
class Observers:
    log: RequestLog = field(default_factory=NoLog)
    tracing: Tracing = field(default_factory=NoTracing)
    log_prompts: bool = False

    def close(self) -> None:
        self.log.close()
        self.tracing.close()


class ObservedMiddleware:
    def __init__(self, app: ASGIApp, observers: Observers, clock: Callable[[], float]) -> None:
        self._app = app
        self._observers = observers
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = self._begun(scope)

        async def observed_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                own = (REQUEST_ID.encode(), record.request_id.encode())
                message = {**message, "headers": [*message["headers"], own]}
            await send(message)

        try:
            await self._app(scope, receive, observed_send)
        finally:
            self._ended(record)

    def _begun(self, scope: Scope) -> Record:
        request_id = choose(header(scope, REQUEST_ID))
        scope["specserve.request_id"] = request_id
        record = Record(request_id, scope["method"], scope["path"], self._clock, self._clock())
        found = {name: header(scope, name) for name in CARRIED}
        headers = {name: value for name, value in found.items() if value is not None}
        if record.path not in PROBES:
            record.trace = self._observers.tracing.begin(headers, record)
        scope["state"][RECORD] = record
        return record

    def _ended(self, record: Record) -> None:
        if record.status is None and isinstance(sys.exception(), Exception):
            # It is answered further out.
            record.status, record.code = 500, "internal_error"
        record.ended = self._clock()
        if not self._observers.log_prompts:
            record.prompt = None
        record.trace.end(record)
        if record.path not in PROBES:
            self._observers.log.write(record)

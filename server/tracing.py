"""OpenTelemetry: one span for a request, one for its queue, one for each time an engine is asked.

Without an endpoint nothing is imported and nothing recorded; a client's own `traceparent` still
reaches the engine.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

    from server.record import Record

CARRIED = ("traceparent", "tracestate")
# As much as W3C wants carried at least, and nothing that could end a header.
SANE = re.compile(r"[\x20-\x7e]{1,512}")
EXPORT_S = 2.0
"""For one export, at the end too."""


class Trace(Protocol):
    """Of one request; times are the record's."""

    def ask(self, now: float) -> dict[str, str]:
        """An engine is asked; the headers for it."""
        ...

    def saw_token(self, now: float) -> None: ...

    def end(self, record: Record) -> None: ...


class Tracing(Protocol):
    def begin(self, headers: Mapping[str, str], record: Record) -> Trace: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class PassedOn:
    """No spans of our own."""

    headers: Mapping[str, str]

    def ask(self, now: float) -> dict[str, str]:
        return dict(self.headers)

    def saw_token(self, now: float) -> None:
        pass

    def end(self, record: Record) -> None:
        pass


NO_TRACE = PassedOn({})


class NoTracing:
    def begin(self, headers: Mapping[str, str], record: Record) -> Trace:
        return PassedOn(carried(headers)) if "traceparent" in headers else NO_TRACE

    def close(self) -> None:
        pass


def carried(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: headers[name] for name in CARRIED if SANE.fullmatch(headers.get(name, ""))}


class OtlpTracing:
    """Sends spans over HTTP in the background; what cannot be sent is dropped."""

    def __init__(self, endpoint: str) -> None:
        """`endpoint`: a collector's base URL; spans go to /v1/traces under it."""
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        url = endpoint.rstrip("/").removesuffix("/v1/traces") + "/v1/traces"
        self._provider: TracerProvider = TracerProvider(
            resource=Resource.create({"service.name": "specserve"}), shutdown_on_exit=False
        )
        exporter = OTLPSpanExporter(endpoint=url, timeout=EXPORT_S)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("specserve")

    def begin(self, headers: Mapping[str, str], record: Record) -> Trace:
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        offset = time.time() - record.began

        def wall(at: float) -> int:
            return int((at + offset) * 1e9)

        parent = TraceContextTextMapPropagator().extract(carried(headers))
        span = self._tracer.start_span(
            f"{record.method} {record.path}",
            context=parent,
            kind=SpanKind.SERVER,
            start_time=wall(record.began),
        )
        return _RequestTrace(self._tracer, span, wall)

    def close(self) -> None:
        self._provider.shutdown()


@dataclass
class _RequestTrace:
    tracer: Tracer
    request: Span
    wall: Callable[[float], int]
    engine: Span | None = None

    def ask(self, now: float) -> dict[str, str]:
        from opentelemetry.trace import SpanKind, set_span_in_context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._end_engine(now)
        self.engine = self.tracer.start_span(
            "engine",
            context=set_span_in_context(self.request),
            kind=SpanKind.CLIENT,
            start_time=self.wall(now),
        )
        headers: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(headers, set_span_in_context(self.engine))
        return headers

    def saw_token(self, now: float) -> None:
        if self.engine is not None:
            self.engine.add_event("first_token", timestamp=self.wall(now))

    def end(self, record: Record) -> None:
        from opentelemetry.trace import Status, StatusCode, set_span_in_context

        ended = record.ended if record.ended is not None else record.clock()
        self._end_engine(ended)
        if record.queued is not None and record.admitted is not None:
            queue = self.tracer.start_span(
                "queue",
                context=set_span_in_context(self.request),
                start_time=self.wall(record.queued),
            )
            queue.end(self.wall(record.admitted))
        for name, value in _attributes(record).items():
            self.request.set_attribute(name, value)
        if record.status is None or record.status >= 500:
            self.request.set_status(Status(StatusCode.ERROR, record.code))
        self.request.end(self.wall(ended))

    def _end_engine(self, now: float) -> None:
        if self.engine is not None:
            self.engine.end(self.wall(now))


def _attributes(record: Record) -> dict[str, str | int]:
    """In OpenTelemetry's own names where it has some."""
    acceptance = record.acceptance
    found: dict[str, str | int | None] = {
        "http.request.method": record.method,
        "http.route": record.path,
        "http.response.status_code": record.status,
        "gen_ai.request.model": record.model,
        "gen_ai.usage.input_tokens": record.tokens.prompt if record.tokens else None,
        "gen_ai.usage.output_tokens": record.tokens.completion if record.tokens else None,
        "specserve.request_id": record.request_id,
        "specserve.code": record.code,
        "specserve.pool": record.pool,
        "specserve.replica": record.replica,
        "specserve.drafted_tokens": acceptance.drafted if acceptance else None,
        "specserve.accepted_tokens": acceptance.accepted if acceptance else None,
        "specserve.structured": record.structured,
    }
    return {name: value for name, value in found.items() if value is not None}

"""Every number at /metrics, on a registry of its own."""

from __future__ import annotations

import asyncio
from typing import Literal, TypeVar, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from server.admission import Admission
from server.engine_status import EngineState, EngineStatus
from server.keys import Priority
from server.usage import Acceptance, Pool, Tokens

REQUEST_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
GAP_SECONDS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 10.0)

QUEUE_SECONDS = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

Phase = Literal["body", "queue", "prefill", "answer"]
"""How far a request had come: its body, its turn, its first byte, its last."""

M = TypeVar("M", bound=MetricWrapperBase)


class Metrics:
    def __init__(self, pool: Pool) -> None:
        self.registry = CollectorRegistry()
        self._pool = pool
        self._all: list[tuple[MetricWrapperBase, tuple[str, ...]]] = []
        self._requests = self._counter(
            "requests",
            "Requests by route, pool, status and code.",
            "route",
            "pool",
            "status",
            "code",
        )
        self._in_flight = self._gauge(
            "requests_in_flight", "Requests from their headers to their last byte."
        )
        self._running = self._gauge("requests_running", "Those of them that the engine has.")
        queued = self._gauge(
            "requests_queued", "Those of them that wait for their turn.", "priority"
        )
        self._queued_by = {priority: queued.labels(priority) for priority in get_args(Priority)}
        self._queue_seconds = self._histogram(
            "queue_seconds",
            "From asking for a turn to having it; who never had one is in rejections.",
            QUEUE_SECONDS,
            "priority",
        )
        self._rejections = self._counter(
            "rejections",
            "Requests refused before any engine had them, by the code of the answer; key is the "
            "key's name, empty where none was told.",
            "code",
            "key",
        )
        self._disconnects = self._counter(
            "disconnects",
            "Clients that left, or were dropped since they read too slowly, before their answer "
            "was complete; phase: body, queue, prefill or answer.",
            "phase",
            "reason",
        )
        self.quota_store_errors = self._counter(
            "quota_store_errors", "Times that the shared quota store did not answer."
        )
        self._seconds = self._histogram(
            "request_seconds", "From the first byte to the last.", REQUEST_SECONDS, "route", "pool"
        )
        self._first_chunk = self._histogram(
            "time_to_first_chunk_seconds",
            "From the engine being asked to its first tokens, streams only.",
            REQUEST_SECONDS,
            "pool",
        )
        step_gap = self._histogram(
            "step_gap_seconds",
            "Between two chunks of a stream with one choice. A chunk holds the tokens of one step.",
            GAP_SECONDS,
            "pool",
        )
        # One for each chunk: without the look-up by label, this costs half.
        self.step_gap = step_gap.labels(pool).observe
        self._prompt = self._counter(
            "prompt_tokens", "Prompt tokens, as usage counts them.", "pool"
        )
        self._completion = self._counter(
            "completion_tokens", "Tokens generated, as usage counts them.", "pool"
        )
        self._drafted = self._counter("drafted_tokens", "Tokens the draft proposed.", "pool")
        self._accepted = self._counter("accepted_tokens", "Drafted tokens the target kept.", "pool")
        self._steps = self._counter(
            "speculative_steps",
            "Steps that verified drafts. Acceptance length is 1 + accepted / steps.",
            "pool",
        )
        self._state = self._gauge("engine_state", "1 for the state the engine is in.", "state")
        self._restarts = self._counter("engine_restarts", "Engine starts after the first.")
        self._restarts_counted = 0
        self._crash_loop = self._gauge(
            "engine_crash_loop", "1 once the engine is no longer restarted."
        )
        self._start_seconds = self._gauge(
            "engine_start_seconds", "The last start, until a generated token was checked."
        )
        tasks = self._gauge("event_loop_tasks", "Tasks of the event loop; at rest always as many.")
        tasks.set_function(_tasks)
        self.draining = self._gauge("draining", "1 from SIGTERM on.")

    def admission_changed(self, admission: Admission) -> None:
        self._in_flight.set(admission.in_flight)
        self._running.set(admission.running)
        for priority, count in admission.queued().items():
            self._queued_by[priority].set(count)

    def queued_for(self, priority: Priority, seconds: float) -> None:
        self._queue_seconds.labels(priority).observe(seconds)

    def rejected(self, code: str, key: str = "") -> None:
        self._rejections.labels(code, key).inc()

    def disconnected(self, phase: Phase, reason: str) -> None:
        self._disconnects.labels(phase, reason).inc()

    def request_ended(self, route: str, status: int, code: str, seconds: float) -> None:
        self._requests.labels(route, self._pool, str(status), code).inc()
        self._seconds.labels(route, self._pool).observe(seconds)

    def first_chunk(self, seconds: float) -> None:
        self._first_chunk.labels(self._pool).observe(seconds)

    def generated(self, tokens: Tokens | None, acceptance: Acceptance | None) -> None:
        if tokens is not None:
            self._prompt.labels(self._pool).inc(tokens.prompt)
            self._completion.labels(self._pool).inc(tokens.completion)
        if acceptance is not None:
            self._drafted.labels(self._pool).inc(acceptance.drafted)
            self._accepted.labels(self._pool).inc(acceptance.accepted)
            self._steps.labels(self._pool).inc(acceptance.steps)

    def engine_changed(self, status: EngineStatus) -> None:
        for state in get_args(EngineState):
            self._state.labels(state).set(state == status.state)
        self._restarts.inc(status.restarts - self._restarts_counted)
        self._restarts_counted = status.restarts
        self._crash_loop.set(status.state == "failed")
        if status.start_seconds is not None:
            self._start_seconds.set(status.start_seconds)

    def table(self) -> str:
        """The list in docs/metrics.md."""
        lines = ["| metric | type | labels | what |", "|---|---|---|---|"]
        for metric, names in self._all:
            family = next(iter(metric.describe()))
            name = f"{family.name}_total" if family.type == "counter" else family.name
            labels = ", ".join(f"`{name}`" for name in names) or "–"
            lines.append(f"| `{name}` | {family.type} | {labels} | {family.documentation} |")
        return "\n".join(lines) + "\n"

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return self._kept(
            Counter(f"specserve_{name}", text, labels, registry=self.registry), labels
        )

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return self._kept(Gauge(f"specserve_{name}", text, labels, registry=self.registry), labels)

    def _histogram(
        self, name: str, text: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        return self._kept(
            Histogram(f"specserve_{name}", text, labels, registry=self.registry, buckets=buckets),
            labels,
        )

    def _kept(self, metric: M, labels: tuple[str, ...]) -> M:
        self._all.append((metric, labels))
        return metric


def _tasks() -> float:
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:
        # Read outside of the loop there are none to speak of.
        return 0

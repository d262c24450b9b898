"""Every number at /metrics, on a registry of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from prometheus_client import Counter

from server.admission import Admission
from server.fair_queue import PRIORITIES
from server.keys import Priority
from server.metric_table import MetricTable
from server.pools.metrics import FleetMetrics
from server.usage import Acceptance, Pool, Tokens

REQUEST_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
GAP_SECONDS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 10.0)

QUEUE_SECONDS = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

Phase = Literal["body", "queue", "prefill", "answer"]
"""How far a request had come: its body, its turn, its first byte, its last."""

NO_POOL = "none"
"""The label `pool` of a request that was answered before it had one."""


class Metrics:
    def __init__(self) -> None:
        self.table = table = MetricTable()
        self._requests = table.counter(
            "requests",
            "Requests by route, pool, status and code.",
            "route",
            "pool",
            "status",
            "code",
        )
        self._in_flight = table.gauge(
            "requests_in_flight", "Requests from their headers to their last byte."
        )
        self._running = table.gauge("requests_running", "Those of them that the engine has.")
        queued = table.gauge(
            "requests_queued", "Those of them that wait for their turn.", "priority"
        )
        self._queued_by = {priority: queued.labels(priority) for priority in PRIORITIES}
        self._queue_seconds = table.histogram(
            "queue_seconds",
            "From asking for a turn to having it; who never had one is in rejections.",
            QUEUE_SECONDS,
            "priority",
        )
        self._rejections = table.counter(
            "rejections",
            "Requests refused before any engine had them, by the code of the answer; key is the "
            "key's name, empty where none was told.",
            "code",
            "key",
        )
        self._disconnects = table.counter(
            "disconnects",
            "Clients that left, or were dropped since they read too slowly, before their answer "
            "was complete; phase: body, queue, prefill or answer.",
            "phase",
            "reason",
        )
        self.quota_store_errors = table.counter(
            "quota_store_errors", "Times that the shared quota store did not answer."
        )
        self._seconds = table.histogram(
            "request_seconds", "From the first byte to the last.", REQUEST_SECONDS, "route", "pool"
        )
        self._first_chunk = table.histogram(
            "time_to_first_chunk_seconds",
            "From the engine being asked to its first tokens, streams only.",
            REQUEST_SECONDS,
            "pool",
        )
        self._step_gap = table.histogram(
            "step_gap_seconds",
            "Between two chunks of a stream with one choice. A chunk holds the tokens of one step.",
            GAP_SECONDS,
            "pool",
        )
        self._prompt = table.counter(
            "prompt_tokens", "Prompt tokens, as usage counts them.", "pool"
        )
        self._completion = table.counter(
            "completion_tokens", "Tokens generated, as usage counts them.", "pool"
        )
        self._drafted = table.counter("drafted_tokens", "Tokens the draft proposed.", "pool")
        self._accepted = table.counter("accepted_tokens", "Drafted tokens the target kept.", "pool")
        self._steps = table.counter(
            "speculative_steps",
            "Steps that verified drafts. Acceptance length is 1 + accepted / steps.",
            "pool",
        )
        self.fleet = FleetMetrics(table)
        tasks = table.gauge("event_loop_tasks", "Tasks of the event loop; at rest always as many.")
        tasks.set_function(_tasks)
        self.draining = table.gauge("draining", "1 from SIGTERM on.")

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

    def request_ended(
        self, route: str, pool: str | None, status: int, code: str, seconds: float
    ) -> None:
        self._requests.labels(route, pool or NO_POOL, str(status), code).inc()
        self._seconds.labels(route, pool or NO_POOL).observe(seconds)

    def of(self, pool: Pool) -> PoolMetrics:
        return PoolMetrics(
            first_chunk=self._first_chunk.labels(pool).observe,
            step_gap=self._step_gap.labels(pool).observe,
            prompt=self._prompt.labels(pool),
            completion=self._completion.labels(pool),
            drafted=self._drafted.labels(pool),
            accepted=self._accepted.labels(pool),
            steps=self._steps.labels(pool),
        )


@dataclass(frozen=True)
class PoolMetrics:
    """Those of one pool's answers, without the look-up by label for each chunk."""

    first_chunk: Callable[[float], None]
    step_gap: Callable[[float], None]
    prompt: Counter
    completion: Counter
    drafted: Counter
    accepted: Counter
    steps: Counter

    def generated(self, tokens: Tokens | None, acceptance: Acceptance | None) -> None:
        if tokens is not None:
            self.prompt.inc(tokens.prompt)
            self.completion.inc(tokens.completion)
        if acceptance is not None:
            self.drafted.inc(acceptance.drafted)
            self.accepted.inc(acceptance.accepted)
            self.steps.inc(acceptance.steps)


def _tasks() -> float:
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:
        # Read outside of the loop there are none to speak of.
        return 0

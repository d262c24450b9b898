"""Every number at /metrics, on a registry of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import Counter

from server.metric_table import MetricTable
from server.pools.metrics import FleetMetrics
from server.usage import Acceptance, Pool, Tokens

REQUEST_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
GAP_SECONDS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 10.0)

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
        self.in_flight = table.gauge("requests_in_flight", "Requests being served now.")
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
        self.draining = table.gauge("draining", "1 from SIGTERM on.")

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

"""Every number at /metrics, on a registry of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from server.engine_status import EngineState, EngineStatus
from server.usage import Acceptance, Pool, Tokens

REQUEST_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
GAP_SECONDS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 10.0)

M = TypeVar("M", bound=MetricWrapperBase)


NO_POOL = "none"
"""The label `pool` of a request that was answered before it had one."""


class Metrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._all: list[tuple[MetricWrapperBase, tuple[str, ...]]] = []
        self._requests = self._counter(
            "requests",
            "Requests by route, pool, status and code.",
            "route",
            "pool",
            "status",
            "code",
        )
        self.in_flight = self._gauge("requests_in_flight", "Requests being served now.")
        self._seconds = self._histogram(
            "request_seconds", "From the first byte to the last.", REQUEST_SECONDS, "route", "pool"
        )
        self._first_chunk = self._histogram(
            "time_to_first_chunk_seconds",
            "From the engine being asked to its first tokens, streams only.",
            REQUEST_SECONDS,
            "pool",
        )
        self._step_gap = self._histogram(
            "step_gap_seconds",
            "Between two chunks of a stream with one choice. A chunk holds the tokens of one step.",
            GAP_SECONDS,
            "pool",
        )
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
        self._decisions = self._counter(
            "pool_decisions",
            "Requests by the pool they were sent to first, what they asked for, and why.",
            "pool",
            "mode",
            "reason",
        )
        self._answers = self._counter(
            "replica_answers",
            "What replicas made of requests: `ok` or the code of the error, retried ones included.",
            "pool",
            "replica",
            "code",
        )
        self._running = self._gauge(
            "replica_requests_running", "Requests at a replica now.", "pool", "replica"
        )
        self._outstanding = self._gauge(
            "replica_outstanding_tokens",
            "Tokens a replica is expected to read and to write still.",
            "pool",
            "replica",
        )
        self._retries = self._counter(
            "retries", "Requests sent to another replica, by the failure.", "pool", "code"
        )
        self._budget = self._counter(
            "retries_over_budget", "Failures that were answered because the budget was spent."
        )
        self._ejections = self._counter("ejections", "Replicas ejected.", "replica", "reason")
        self._ejected = self._gauge(
            "replica_ejected",
            "1 from an ejection until a request has gone well.",
            "pool",
            "replica",
        )
        self._state = self._gauge(
            "engine_state", "1 for the state a replica's engine is in.", "replica", "state"
        )
        self._restarts = self._counter(
            "engine_restarts", "Engine starts after the first.", "replica"
        )
        self._restarts_counted: dict[str, int] = {}
        self._crash_loop = self._gauge(
            "engine_crash_loop", "1 once the engine is no longer restarted.", "replica"
        )
        self._start_seconds = self._gauge(
            "engine_start_seconds",
            "The last start, until a generated token was checked.",
            "replica",
        )
        self._reloads = self._counter(
            "config_reloads", "SIGHUPs, by whether the file was `applied` or `refused`.", "outcome"
        )
        self.draining = self._gauge("draining", "1 from SIGTERM on.")

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

    def pool_chosen(self, pool: Pool, mode: str, reason: str) -> None:
        self._decisions.labels(pool, mode, reason).inc()

    def replica_answered(self, pool: Pool, replica: str, code: str) -> None:
        self._answers.labels(pool, replica, code).inc()

    def retried(self, pool: Pool, code: str) -> None:
        self._retries.labels(pool, code).inc()

    def over_budget(self) -> None:
        self._budget.inc()

    def ejected(self, replica: str, reason: str) -> None:
        self._ejections.labels(replica, reason).inc()

    def reloaded(self, outcome: Literal["applied", "refused"]) -> None:
        self._reloads.labels(outcome).inc()

    def replica_came(
        self,
        pool: Pool,
        replica: str,
        running: Callable[[], float],
        tokens: Callable[[], float],
        ejected: Callable[[], float],
    ) -> None:
        """All three are asked whenever the metrics are."""
        self._running.labels(pool, replica).set_function(running)
        self._outstanding.labels(pool, replica).set_function(tokens)
        self._ejected.labels(pool, replica).set_function(ejected)
        self._restarts_counted[replica] = 0

    def replica_gone(self, pool: Pool, replica: str) -> None:
        """Its counters stay, since a counter never falls; what it is now is no more."""
        for gauge in (self._running, self._outstanding, self._ejected):
            gauge.remove(pool, replica)
        self._state.remove_by_labels({"replica": replica})
        self._crash_loop.remove_by_labels({"replica": replica})
        self._start_seconds.remove_by_labels({"replica": replica})

    def engine_changed(self, replica: str, status: EngineStatus) -> None:
        for state in get_args(EngineState):
            self._state.labels(replica, state).set(state == status.state)
        counted = self._restarts_counted.get(replica, 0)
        self._restarts.labels(replica).inc(status.restarts - counted)
        self._restarts_counted[replica] = status.restarts
        self._crash_loop.labels(replica).set(status.state == "failed")
        if status.start_seconds is not None:
            self._start_seconds.labels(replica).set(status.start_seconds)

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

"""Every number of pools, replicas and their engines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

from server.engine_status import EngineState, EngineStatus
from server.metric_table import MetricTable
from server.usage import Pool


class FleetMetrics:
    def __init__(self, table: MetricTable) -> None:
        self._decisions = table.counter(
            "pool_decisions",
            "Requests by the pool they were sent to first, what they asked for, and why.",
            "pool",
            "mode",
            "reason",
        )
        self._answers = table.counter(
            "replica_answers",
            "What replicas made of requests: `ok` or the code of the error, retried ones included.",
            "pool",
            "replica",
            "code",
        )
        self._running = table.gauge(
            "replica_requests_running", "Requests at a replica now.", "pool", "replica"
        )
        self._outstanding = table.gauge(
            "replica_outstanding_tokens",
            "Tokens a replica is expected to read and to write still.",
            "pool",
            "replica",
        )
        self._retries = table.counter(
            "retries", "Requests sent to another replica, by the failure.", "pool", "code"
        )
        self._budget = table.counter(
            "retries_over_budget", "Failures that were answered because the budget was spent."
        )
        self._ejections = table.counter("ejections", "Replicas ejected.", "replica", "reason")
        self._ejected = table.gauge(
            "replica_ejected",
            "1 from an ejection until a request has gone well.",
            "pool",
            "replica",
        )
        self._state = table.gauge(
            "engine_state", "1 for the state a replica's engine is in.", "replica", "state"
        )
        self._restarts = table.counter(
            "engine_restarts", "Engine starts after the first.", "replica"
        )
        self._restarts_counted: dict[str, int] = {}
        self._crash_loop = table.gauge(
            "engine_crash_loop", "1 once the engine is no longer restarted.", "replica"
        )
        self._start_seconds = table.gauge(
            "engine_start_seconds",
            "The last start, until a generated token was checked.",
            "replica",
        )
        self._reloads = table.counter(
            "config_reloads", "SIGHUPs, by whether the file was `applied` or `refused`.", "outcome"
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

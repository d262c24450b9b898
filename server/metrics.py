"""Every number at /metrics, on a registry of its own."""

from __future__ import annotations

from typing import TypeVar, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from server.engine_status import EngineState, EngineStatus
from server.openai_request import Form
from server.structured import FaultKind, Verdict
from server.usage import Acceptance, Pool, Tokens

REQUEST_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
GAP_SECONDS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 10.0)
TOKEN_SECONDS = (0.001, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.25, 1.0)
ACCEPTANCE_LENGTHS = (1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 12.0, 16.0)

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
        self.in_flight = self._gauge("requests_in_flight", "Requests being served now.")
        self._seconds = self._histogram(
            "request_seconds", "From the first byte to the last.", REQUEST_SECONDS, "route", "pool"
        )
        self._first_token = self._histogram(
            "time_to_first_token_seconds",
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
        self._per_token = self._histogram(
            "time_per_output_token_seconds",
            "Of a stream with one choice: from its first chunk to its last, "
            "by the tokens after those of the first read.",
            TOKEN_SECONDS,
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
        self._acceptance_length = self._histogram(
            "acceptance_length",
            "Tokens per step of a request that drafted: 1 + accepted / steps. "
            "`form` is what the answer was asked to be.",
            ACCEPTANCE_LENGTHS,
            "pool",
            "form",
        )
        self._structured = self._counter(
            "structured_outputs",
            "Answers held to a form: `valid`, `incomplete`, or what was wrong.",
            "pool",
            "form",
            "outcome",
        )
        self._structured_retries = self._counter(
            "structured_retries",
            "Whole answers asked for a second time, for their form.",
        )
        self._whitespace_cuts = self._counter(
            "whitespace_cuts", "Streams ended as only white space came.", "pool"
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
        self.log_lines_dropped = self._counter(
            "request_log_lines_dropped",
            "Lines of the request log that a full or slow disk cost.",
        )
        self.draining = self._gauge("draining", "1 from SIGTERM on.")

    def request_ended(self, route: str, status: int, code: str, seconds: float) -> None:
        self._requests.labels(route, self._pool, str(status), code).inc()
        self._seconds.labels(route, self._pool).observe(seconds)

    def first_token(self, seconds: float) -> None:
        self._first_token.labels(self._pool).observe(seconds)

    def time_per_token(self, seconds: float) -> None:
        self._per_token.labels(self._pool).observe(seconds)

    def structured(self, form: Form, outcome: Verdict | FaultKind) -> None:
        self._structured.labels(self._pool, form, outcome).inc()

    def structured_retried(self) -> None:
        self._structured_retries.inc()

    def whitespace_cut(self) -> None:
        self._whitespace_cuts.labels(self._pool).inc()

    def generated(
        self, tokens: Tokens | None, acceptance: Acceptance | None, form: Form = "free"
    ) -> None:
        if tokens is not None:
            self._prompt.labels(self._pool).inc(tokens.prompt)
            self._completion.labels(self._pool).inc(tokens.completion)
        if acceptance is not None:
            self._drafted.labels(self._pool).inc(acceptance.drafted)
            self._accepted.labels(self._pool).inc(acceptance.accepted)
            self._steps.labels(self._pool).inc(acceptance.steps)
            if acceptance.steps:
                length = 1 + acceptance.accepted / acceptance.steps
                self._acceptance_length.labels(self._pool, form).observe(length)

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

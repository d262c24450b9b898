"""The registry, and the list of what is on it."""

from __future__ import annotations

from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

M = TypeVar("M", bound=MetricWrapperBase)


class MetricTable:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._all: list[tuple[MetricWrapperBase, tuple[str, ...]]] = []

    def render(self) -> str:
        """The list in docs/metrics.md."""
        lines = ["| metric | type | labels | what |", "|---|---|---|---|"]
        for metric, names in self._all:
            family = next(iter(metric.describe()))
            name = f"{family.name}_total" if family.type == "counter" else family.name
            labels = ", ".join(f"`{name}`" for name in names) or "–"
            lines.append(f"| `{name}` | {family.type} | {labels} | {family.documentation} |")
        return "\n".join(lines) + "\n"

    def counter(self, name: str, text: str, *labels: str) -> Counter:
        return self._kept(
            Counter(f"specserve_{name}", text, labels, registry=self.registry), labels
        )

    def gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return self._kept(Gauge(f"specserve_{name}", text, labels, registry=self.registry), labels)

    def histogram(
        self, name: str, text: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        return self._kept(
            Histogram(f"specserve_{name}", text, labels, registry=self.registry, buckets=buckets),
            labels,
        )

    def _kept(self, metric: M, labels: tuple[str, ...]) -> M:
        self._all.append((metric, labels))
        return metric

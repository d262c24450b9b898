"""The registry, and the list of what is on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

M = TypeVar("M", bound=MetricWrapperBase)


@dataclass(frozen=True)
class Family:
    name: str
    """As it is scraped, without what a histogram's series end in."""
    type: str
    labels: tuple[str, ...]
    text: str


class MetricTable:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._all: list[tuple[MetricWrapperBase, tuple[str, ...]]] = []

    def families(self) -> list[Family]:
        found = []
        for metric, labels in self._all:
            told = next(iter(metric.describe()))
            name = f"{told.name}_total" if told.type == "counter" else told.name
            found.append(Family(name, told.type, labels, told.documentation))
        return found

    def render(self) -> str:
        """The list in docs/metrics.md."""
        lines = ["| metric | type | labels | what |", "|---|---|---|---|"]
        for one in self.families():
            labels = ", ".join(f"`{name}`" for name in one.labels) or "–"
            lines.append(f"| `{one.name}` | {one.type} | {labels} | {one.text} |")
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

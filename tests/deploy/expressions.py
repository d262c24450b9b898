"""What an expression of PromQL asks for, from its tree."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import promql_parser

from deploy.monitoring.alerts import alerts
from deploy.monitoring.dashboards import DASHBOARDS
from deploy.monitoring.names import gateway_families
from deploy.monitoring.neuron_monitor import NEURON_METRICS
from deploy.monitoring.objectives import Objectives
from deploy.monitoring.recorded import always
from deploy.monitoring.rules import Record
from deploy.monitoring.site import site
from neuron.pair import load_pair
from server.engine_metrics import ENGINE_METRICS
from tests.engine_metrics import golden

WINDOW = "5m"
TARGET = frozenset({"instance", "job"})
"""Labels that Prometheus adds."""
ENGINE = frozenset({"engine", "model_name"})
OWN = {
    "vllm:request_success_total": {"finished_reason"},
    "vllm:spec_decode_num_accepted_tokens_per_pos_total": {"position"},
}
BLOCK_END = datetime.fromisoformat("2026-12-01T11:30:00Z")


@dataclass(frozen=True)
class Named:
    """An expression, and where it stands."""

    where: str
    expr: str


@dataclass(frozen=True)
class Selector:
    name: str
    matched: dict[str, str]


def records() -> tuple[Record, ...]:
    return (*always(), *site(load_pair("qwen3-32b-tp4"), price=None, block_end=BLOCK_END))


def dashboard_queries() -> Iterator[Named]:
    for dashboard in DASHBOARDS:
        for panel in dashboard.panels:
            for query in panel.queries:
                where = f"{dashboard.slug}: {panel.title}: {query.legend}"
                yield Named(where, query.expr.replace("$__rate_interval", WINDOW))


def all_expressions() -> list[Named]:
    return [
        *dashboard_queries(),
        *(Named(one.name, one.expr) for one in records()),
        *(Named(one.name, one.expr) for one in alerts(Objectives())),
    ]


def selectors(expr: str) -> list[Selector]:
    return list(_selectors(promql_parser.parse(expr)))


def grouped(expr: str) -> Iterator[tuple[set[str], list[Selector]]]:
    """The labels of each `by`, with what stands below it."""
    for node in _nodes(promql_parser.parse(expr)):
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            yield set(node.modifier.labels), list(_selectors(node))


def families() -> dict[str, frozenset[str]]:
    """Labels of every series that can be asked for, by its name."""
    known = {one.name: TARGET for one in records()}
    known |= {one.name: frozenset({"pool"}) for one in records()}
    kinds = dict(line.split() for line in golden("0.32").read_text().splitlines())
    for one in (*gateway_families().values(), *NEURON_METRICS.values()):
        known |= _series(one.name, one.type, frozenset(one.labels) | TARGET)
    for name in ENGINE_METRICS:
        known |= _series(name, kinds[name], ENGINE | TARGET | frozenset(OWN.get(name, ())))
    return known


def _series(name: str, kind: str, labels: frozenset[str]) -> dict[str, frozenset[str]]:
    if kind != "histogram":
        return {name: labels}
    return {f"{name}_sum": labels, f"{name}_count": labels, f"{name}_bucket": labels | {"le"}}


def _selectors(tree: Any) -> Iterator[Selector]:  # noqa: ANN401 - the parser has no common base
    for node in _nodes(tree):
        if isinstance(node, promql_parser.VectorSelector):
            assert node.name is not None
            yield Selector(node.name, {one.name: one.value for one in node.matchers.matchers})


def _nodes(tree: Any) -> list[Any]:  # noqa: ANN401
    found: list[Any] = []
    add: Callable[[Any], None] = found.append
    promql_parser.walk(tree, add)
    return found

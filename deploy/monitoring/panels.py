"""A dashboard as rows of panels, and the JSON that Grafana 10 and later import."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from deploy.monitoring.promql import quantile

Unit = Literal["short", "s", "reqps", "percentunit", "bytes", "currencyUSD", "none"]
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
SCHEMA_VERSION = 38
"""Of Grafana 10.1; later ones migrate it when they load it."""
COLUMNS = 24
ROW_HEIGHT, PANEL_HEIGHT = 1, 8


@dataclass(frozen=True)
class Query:
    expr: str
    legend: str = ""
    """Grafana's template: `{{pool}}`."""


def percentiles(histogram: str, *shares: float) -> tuple[Query, ...]:
    """By pool."""
    return tuple(
        Query(quantile(share, histogram, "pool"), f"p{round(share * 100)} {{{{pool}}}}")
        for share in shares
    )


@dataclass(frozen=True)
class Panel:
    title: str
    what: str
    """How to read it, in the panel's tooltip."""
    unit: Unit
    queries: tuple[Query, ...]
    kind: Literal["timeseries", "stat"] = "timeseries"
    stacked: bool = False


@dataclass(frozen=True)
class Row:
    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Dashboard:
    slug: str
    title: str
    rows: tuple[Row, ...]

    @property
    def panels(self) -> Iterator[Panel]:
        for row in self.rows:
            yield from row.panels

    def render(self) -> dict[str, Any]:
        return {
            "uid": f"specserve-{self.slug}",
            "title": f"specserve / {self.title}",
            "tags": ["specserve"],
            "schemaVersion": SCHEMA_VERSION,
            "editable": True,
            "refresh": "30s",
            "time": {"from": "now-3h", "to": "now"},
            "timezone": "browser",
            "templating": {
                "list": [{"name": "datasource", "type": "datasource", "query": "prometheus"}]
            },
            "links": [
                {
                    "title": "specserve",
                    "type": "dashboards",
                    "tags": ["specserve"],
                    "asDropdown": True,
                    "keepTime": True,
                }
            ],
            "panels": list(_placed(self.rows)),
        }


def _placed(rows: tuple[Row, ...]) -> Iterator[dict[str, Any]]:
    top, number = 0, 1
    for row in rows:
        place = {"x": 0, "y": top, "w": COLUMNS, "h": ROW_HEIGHT}
        yield {"id": number, "type": "row", "title": row.title, "gridPos": place, "panels": []}
        number += 1
        width = COLUMNS // len(row.panels)
        for column, panel in enumerate(row.panels):
            place = {"x": column * width, "y": top + ROW_HEIGHT, "w": width, "h": PANEL_HEIGHT}
            yield {"id": number, "gridPos": place, **_panel(panel)}
            number += 1
        top += ROW_HEIGHT + PANEL_HEIGHT


def _panel(panel: Panel) -> dict[str, Any]:
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.what,
        "datasource": SOURCE,
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": SOURCE,
                "expr": query.expr,
                "legendFormat": query.legend or panel.title,
            }
            for place, query in enumerate(panel.queries)
        ],
        "fieldConfig": {"defaults": {"unit": panel.unit, **_custom(panel)}, "overrides": []},
        "options": _options(panel),
    }


def _custom(panel: Panel) -> dict[str, Any]:
    if panel.kind == "stat":
        return {}
    stacking = {"mode": "normal" if panel.stacked else "none", "group": "A"}
    filled = 40 if panel.stacked else 8
    return {"min": 0, "custom": {"fillOpacity": filled, "stacking": stacking}}


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "stat":
        return {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}}
    return {
        "legend": {"displayMode": "list", "placement": "bottom", "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }

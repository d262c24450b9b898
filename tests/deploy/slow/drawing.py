"""The panels of a dashboard, drawn from what Prometheus answers. Not Grafana's own picture."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from deploy.monitoring.panels import Dashboard, Panel
from tests.deploy.slow.prometheus import Prometheus

mpl.use("Agg")
WINDOW = "30s"
STEP_S = 2


async def draw(
    prometheus: Prometheus, dashboard: Dashboard, begin: float, end: float, path: Path
) -> None:
    figure = Figure(figsize=(19, 2.9 * len(dashboard.rows)), layout="constrained")
    parts = figure.subfigures(len(dashboard.rows), 1, squeeze=False)
    for part, row in zip(parts.flat, dashboard.rows, strict=True):
        part.suptitle(f"specserve / {dashboard.title} / {row.title}", fontsize=9)
        places = part.subplots(1, len(row.panels), squeeze=False)
        for axes, panel in zip(places.flat, row.panels, strict=True):
            await _panel(prometheus, axes, panel, begin, end)
    figure.savefig(path, dpi=70)


async def _panel(
    prometheus: Prometheus, axes: Axes, panel: Panel, begin: float, end: float
) -> None:
    axes.set_title(f"{panel.title} [{panel.unit}]", fontsize=9, loc="left")
    axes.tick_params(labelsize=7)
    for query in panel.queries:
        found = await prometheus.get(
            "query_range",
            query=query.expr.replace("$__rate_interval", WINDOW),
            start=begin,
            end=end,
            step=STEP_S,
        )
        for series in found["result"]:
            points = [(float(at) - begin, float(value)) for at, value in series["values"]]
            known = [(at, value) for at, value in points if not math.isnan(value)]
            if known:
                label = _legend(query.legend or panel.title, series["metric"])
                axes.plot(*zip(*known, strict=True), linewidth=1.2, label=label)
    if axes.lines:
        # Room for the legend above the lines.
        axes.set_ylim(0, 1.4 * max(axes.get_ylim()[1], 1e-9))
        axes.legend(fontsize=6, loc="upper left", ncols=3, frameon=False)


def _legend(template: str, labels: dict[str, Any]) -> str:
    for name, value in labels.items():
        template = template.replace(f"{{{{{name}}}}}", str(value))
    return template

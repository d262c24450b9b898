"""One picture: which pool each workload was sent to, as the stream went on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bench.auto.outcome import SHARE_POINTS, Outcome
from bench.auto.report import title
from bench.errors import UsageProblemError

STRUCTURED, OPEN = "#0b7285", ("#e8590c", "#862e9c", "#5c940d", "#a61e4d")


def draw_outcomes(outcomes: Sequence[Outcome], path: Path) -> None:
    figure = Figure(figsize=(8.0, 3.2 * len(outcomes)))
    FigureCanvasAgg(figure)
    for place, outcome in enumerate(outcomes, start=1):
        _panel(figure.add_subplot(len(outcomes), 1, place), outcome)
    figure.tight_layout()
    try:
        figure.savefig(path, dpi=150)
    except (OSError, ValueError) as error:
        raise UsageProblemError(f"--plot {path}: {error}.") from error


def _panel(axes: Axes, outcome: Outcome) -> None:
    width = outcome.mix.requests / SHARE_POINTS
    middles = [width * (number + 0.5) for number in range(SHARE_POINTS)]
    colors = iter(OPEN * len(outcome.workloads))
    structured = "structured, each workload"
    for row in sorted(outcome.workloads, key=lambda row: not row.structured):
        shares = [100 * share for share in outcome.shares[row.workload]]
        color = STRUCTURED if row.structured else next(colors)
        label = structured if row.structured else f"{row.workload} (open)"
        axes.plot(middles, shares, color=color, label=label, alpha=0.5 if row.structured else 1)
        if row.structured:
            structured = "_"
    axes.set_title(f"Sent to the speculative pool, {title(outcome)}", loc="left", size=10)
    axes.set_xlabel("request of the stream")
    axes.set_ylabel(f"% of requests, {outcome.streams} streams")
    axes.set_ylim(-3, 103)
    axes.set_xlim(0, outcome.mix.requests)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="center right")

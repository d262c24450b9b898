"""One picture: milliseconds per token, plain beside speculative, controls set apart."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bench.errors import UsageProblemError
from bench.record import Result
from bench.stats import Estimate
from bench.summary import Row, Summary

PLAIN, SPECULATIVE, CONTROL_SHADE = "#9aa5b1", "#0b7285", "#f1f3f5"
BAR = 0.38


def draw(result: Result, summary: Summary, path: Path) -> None:
    levels = [
        c for c in result.settings.concurrency if any(r.concurrency == c for r in summary.rows)
    ]
    if not levels:
        raise UsageProblemError("There is no complete row to plot.")
    figure = Figure(figsize=(max(7.0, 1.15 * len(result.settings.workloads)), 4.6 * len(levels)))
    FigureCanvasAgg(figure)
    for place, concurrency in enumerate(levels, start=1):
        axes = figure.add_subplot(len(levels), 1, place)
        rows = [row for row in summary.rows if row.concurrency == concurrency]
        _panel(axes, sorted(rows, key=lambda row: not row.structured))
        pool = next((one for one in summary.pools if one.concurrency == concurrency), None)
        together = f" · structured together {pool.speedup.value:.2f}x" if pool else ""
        axes.set_title(
            f"Time per output token, {result.settings.level(concurrency)}{together}", loc="left"
        )
    pair = result.provenance.pair
    named = f"pair {pair['name']}, K = {pair['num_draft_tokens']}. " if pair else ""
    note = f"{named}{result.provenance.cost_ratio} Whiskers: 95 % over prompts."
    figure.text(0.01, 0.01, textwrap.fill(note, round(14 * figure.get_figwidth())), size=7)
    figure.tight_layout(rect=(0, 0.06 / len(levels), 1, 1))
    try:
        figure.savefig(path, dpi=150)
    except (OSError, ValueError) as error:
        raise UsageProblemError(f"--plot {path}: {error}.") from error


def _panel(axes: Axes, rows: Sequence[Row]) -> None:
    structured = sum(row.structured for row in rows)
    if structured < len(rows):
        axes.axvspan(structured - 0.5, len(rows) - 0.5, color=CONTROL_SHADE, zorder=0)
        axes.text(
            len(rows) - 0.55, 0.98, "controls", transform=axes.get_xaxis_transform(),
            ha="right", va="top", style="italic", color="#495057",
        )  # fmt: skip
    _bars(axes, [row.base.tpot for row in rows], -BAR / 2, PLAIN, "plain")
    _bars(axes, [row.other.tpot for row in rows], BAR / 2, SPECULATIVE, "speculative")
    for index, row in enumerate(rows):
        top = max(row.base.tpot.high, row.other.tpot.high)
        axes.annotate(
            f"{row.speedup.value:.2f}x\n{row.verdict}", (index, top), (0, 4),
            textcoords="offset points", ha="center", va="bottom", size=8,
            weight="bold" if row.verdict == "faster" else "normal",
        )  # fmt: skip
    axes.set_xticks(range(len(rows)), [row.workload for row in rows], rotation=20, ha="right")
    axes.set_ylabel("ms per token (TPOT, median)")
    axes.set_xlim(-0.6, len(rows) - 0.4)
    axes.set_ylim(0, 1.3 * max(max(r.base.tpot.high, r.other.tpot.high) for r in rows))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper left", frameon=False, ncols=2)


def _bars(axes: Axes, values: Sequence[Estimate], shift: float, color: str, label: str) -> None:
    heights = [one.value for one in values]
    whiskers = (
        [max(0.0, one.value - one.low) for one in values],
        [max(0.0, one.high - one.value) for one in values],
    )
    places = [index + shift for index in range(len(values))]
    axes.bar(places, heights, BAR, yerr=whiskers, capsize=2, color=color, label=label, zorder=2)

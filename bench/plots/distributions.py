"""TPOT of each request, both sides next to each other."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from bench.plots.picture import CONTROL_SHADE, PLAIN, PLAIN_DARK, SPECULATIVE, Picture, blank, clean
from bench.record import Result
from bench.stats import Floats
from bench.summary import Row, Summary
from bench.tables import levels_shown
from bench.words import SAID

WIDTH, SHIFT, JITTER = 0.32, 0.19, 0.09
SAYS = (
    "A dot is one request's time per output token. The box spans the middle half of the requests, "
    "its line is their median. A control is shaded."
)


def tpot_distributions(result: Result, summary: Summary) -> Picture:
    levels = levels_shown(result, summary)
    figure = blank(max(7.0, 0.95 * len(result.settings.workloads) + 1), 3.4 * len(levels))
    for place, concurrency in enumerate(levels, start=1):
        rows = [row for row in summary.rows if row.concurrency == concurrency]
        axes = clean(figure.add_subplot(len(levels), 1, place), result.settings.level(concurrency))
        _panel(axes, sorted(rows, key=lambda row: not row.structured), SAID[result.other])
    return Picture("Time per output token, request by request", SAYS, figure)


def _panel(axes: Axes, rows: Sequence[Row], other: str) -> None:
    structured = sum(row.structured for row in rows)
    if structured < len(rows):
        axes.axvspan(structured - 0.5, len(rows) - 0.5, color=CONTROL_SHADE, zorder=0)
    sides = (
        ("plain", PLAIN, PLAIN_DARK, -SHIFT, [row.tpot.base for row in rows]),
        (other, SPECULATIVE, SPECULATIVE, SHIFT, [row.tpot.other for row in rows]),
    )
    for name, color, dark, shift, arrays in sides:
        values = [_flat(one) for one in arrays]
        places = [index + shift for index in range(len(rows))]
        boxes = axes.boxplot(
            values, positions=places, widths=WIDTH, showfliers=False, showcaps=False,
            whis=(0, 100), patch_artist=True, manage_ticks=False,
            boxprops={"facecolor": color, "alpha": 0.35, "edgecolor": dark},
            medianprops={"color": "black", "linewidth": 1.6}, whiskerprops={"color": dark},
        )  # fmt: skip
        boxes["boxes"][0].set_label(name)
        for at, samples in zip(places, values, strict=True):
            # Seeded by their number: the same picture each time.
            spread = np.random.default_rng(len(samples)).uniform(-JITTER, JITTER, len(samples))
            axes.scatter(at + spread, samples, s=8, color=dark, alpha=0.8, linewidths=0, zorder=3)
    axes.set_xticks(range(len(rows)), [row.workload for row in rows], rotation=20, ha="right")
    axes.set_xlim(-0.55, len(rows) - 0.45)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("TPOT, ms per token")
    axes.grid(axis="y", color="#dee2e6", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.legend(frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0)


def _flat(values: Floats) -> Floats:
    return np.asarray(values[~np.isnan(values)], dtype=np.float64)

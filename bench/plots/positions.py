"""How many drafts of a step are accepted, place by place."""

import numpy as np
from matplotlib.axes import Axes

from bench.plots.picture import Picture, blank, clean
from bench.record import Result
from bench.summary import Row, Summary
from bench.tables import levels_shown, named

SAYS = (
    "Each cell is the share of a workload's speculative steps in which at least that many drafts "
    "were accepted. A row that fades early is one for which fewer drafts would do. The number in "
    "brackets is the acceptance length: tokens per step, the target's own included."
)
DARK = 0.62
"""Above this share the cell is dark, and its number white."""


def acceptance_by_position(result: Result, summary: Summary) -> Picture | None:
    """`None` if no engine said how many drafts it accepted at which place."""
    panels = {
        level: [
            row
            for row in summary.rows
            if row.concurrency == level and row.acceptance and row.acceptance.per_position
        ]
        for level in levels_shown(result, summary)
    }
    panels = {level: rows for level, rows in panels.items() if rows}
    if not panels:
        return None
    depth = max(len(_shares(row)) for rows in panels.values() for row in rows)
    height = sum(0.3 * len(rows) + 0.95 for rows in panels.values())
    figure = blank(max(5.0, 2.4 + 0.55 * depth), height)
    grid = figure.add_gridspec(len(panels), 1, height_ratios=[len(r) for r in panels.values()])
    for place, (level, rows) in enumerate(panels.items()):
        axes = clean(figure.add_subplot(grid[place]), result.settings.level(level))
        _panel(axes, sorted(rows, key=lambda row: not row.structured), depth)
    return Picture("Acceptance by position", SAYS, figure)


def _shares(row: Row) -> tuple[float, ...]:
    return row.acceptance.per_position if row.acceptance else ()


def _panel(axes: Axes, rows: list[Row], depth: int) -> None:
    shares = np.full((len(rows), depth), np.nan)
    for place, row in enumerate(rows):
        shares[place, : len(_shares(row))] = _shares(row)
    axes.imshow(shares, cmap="GnBu", vmin=0, vmax=1, aspect="auto")
    for (place, position), share in np.ndenumerate(shares):
        if not np.isnan(share):
            axes.text(
                position, place, f"{share:.2f}", ha="center", va="center", fontsize=8.5,
                color="white" if share > DARK else "black",
            )  # fmt: skip
    lengths = [row.acceptance.length if row.acceptance else 0.0 for row in rows]
    names = [f"{named(row)}  [{length:.2f}]" for row, length in zip(rows, lengths, strict=True)]
    axes.set_yticks(range(len(rows)), names)
    axes.set_xticks(range(depth), [str(position + 1) for position in range(depth)])
    axes.set_xlabel("drafts accepted, at least")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)

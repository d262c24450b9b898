"""Speedup of each workload with its interval, against 1 and the band of no harm."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

from bench.plots.picture import LINE, MUTED, SPECULATIVE, Picture, blank, clean
from bench.record import Result
from bench.stats import Estimate
from bench.summary import STRUCTURED_ALL, Summary
from bench.tables import levels_shown, named
from bench.verdict import MARGIN, in_words

COLORS = {"faster": SPECULATIVE, "slower": "#c92a2a", "not shown": MUTED, "invalid": "#f08c00"}
TICKS = (0.25, 0.33, 0.5, 0.75, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20)
WIDE_TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
WIDE = 15.0
"""Above this ratio of the axis' ends the first ticks would be written over each other."""
MIN_RANGE = (0.8, 1.3)
BEYOND = 2.0
"""An interval that goes further than this from all dots is cut off, with an arrow."""
SAYS = (
    "A dot is the speedup, its line the 95 % interval over prompts. {right} Inside the grey band a "
    "difference does no harm. The scale is logarithmic: twice and half as fast are equally far "
    "from 1. An arrow: the interval goes on."
)
RIGHT = {
    "speedup": "Right of 1: tokens come sooner with speculation.",
    "aa": "Both sides are the plain engine: every interval should hold 1; one in twenty does not.",
}


@dataclass(frozen=True)
class _Mark:
    name: str
    estimate: Estimate
    verdict: str
    says: str
    together: bool


def speedups(result: Result, summary: Summary) -> Picture:
    panels = {level: _marks(summary, level) for level in levels_shown(result, summary)}
    height = sum(0.32 * len(marks) + 0.9 for marks in panels.values())
    figure = blank(8.2, height)
    grid = figure.add_gridspec(len(panels), 1, height_ratios=[len(m) for m in panels.values()])
    every = [mark.estimate for marks in panels.values() for mark in marks]
    values = [one.value for one in every]
    low = min(MIN_RANGE[0], max(min(one.low / 1.08 for one in every), min(values) / BEYOND))
    high = max(MIN_RANGE[1], min(max(one.high * 1.08 for one in every), max(values) * BEYOND))
    ticks = TICKS if high / low < WIDE else WIDE_TICKS
    for place, (level, marks) in enumerate(panels.items()):
        axes = clean(figure.add_subplot(grid[place]), result.settings.level(level))
        axes.set_xscale("log")
        axes.set_xlim(low, high)
        _panel(axes, marks)
        axes.xaxis.set_major_locator(FixedLocator([one for one in ticks if low <= one <= high]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}x"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.minorticks_off()
    return Picture(
        "Speedup per workload, with intervals", SAYS.format(right=RIGHT[result.kind]), figure
    )


def _marks(summary: Summary, level: int) -> list[_Mark]:
    rows = [row for row in summary.rows if row.concurrency == level]
    marks = {
        structured: [
            _Mark(named(row), row.speedup, row.verdict, in_words(row.verdict, row.speedup), False)
            for row in rows
            if row.structured == structured
        ]
        for structured in (True, False)
    }
    pooled = [
        _Mark(STRUCTURED_ALL, one.speedup, one.verdict, in_words(one.verdict, one.speedup), True)
        for one in summary.pools
        if one.concurrency == level
    ]
    return [*marks[True], *pooled, *marks[False]]


def _panel(axes: Axes, marks: Sequence[_Mark]) -> None:
    axes.axvspan(*MARGIN, color="#e9ecef", zorder=0)
    axes.axvline(1, color=LINE, linewidth=1, zorder=1)
    for place, mark in enumerate(marks):
        value, color = mark.estimate, COLORS[mark.verdict]
        axes.hlines(place, value.low, value.high, color=color, linewidth=2.2, zorder=2)
        left, right = axes.get_xlim()
        for end, beyond, arrow in (
            (left, value.low < left, "<"), (right, value.high > right, ">")
        ):  # fmt: skip
            if beyond:
                axes.plot(end, place, arrow, color=color, markersize=7, clip_on=False, zorder=3)
        axes.plot(
            value.value, place, "D" if mark.together else "o", color=color, zorder=3,
            markersize=7 if mark.together else 6,
        )  # fmt: skip
        axes.annotate(
            f"{value.value:.2f}x  {mark.says}", (1.01, place),
            xycoords=axes.get_yaxis_transform(), va="center", fontsize=8.5, color=color,
            weight="bold" if mark.together else "normal", annotation_clip=False,
        )  # fmt: skip
    axes.set_yticks(range(len(marks)), [mark.name for mark in marks])
    for label, mark in zip(axes.get_yticklabels(), marks, strict=True):
        label.set_fontweight("bold" if mark.together else "normal")
    axes.set_ylim(len(marks) - 0.4, -0.6)
    axes.grid(axis="x", color="#dee2e6", linewidth=0.6)
    axes.set_axisbelow(True)

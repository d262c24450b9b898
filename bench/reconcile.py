"""Other tools' numbers beside ours, from the same events, so that a reader can reconcile them."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from bench.arm_facts import usable
from bench.record import Measured, Result
from bench.series import OTHER_TOOLS, SERIES, Series
from bench.words import SHORT

OURS = ("tpot", "step gap", "apportioned ITL")
WIDTH = 200


@dataclass(frozen=True)
class Shown:
    """One side's samples, pooled over requests as the tool pools them."""

    mean: float
    median: float
    p99: float


@dataclass(frozen=True)
class Line:
    workload: str
    concurrency: int
    series: str
    ours: bool
    base: Shown
    other: Shown

    @property
    def speedup(self) -> float:
        """What a reader of the means would take for it."""
        return self.base.mean / self.other.mean

    @property
    def speedup_of_medians(self) -> float | None:
        """`None` where a median is 0."""
        return self.base.median / self.other.median if self.other.median else None


def reconcile(result: Result) -> list[Line]:
    """Cells in which a series has no sample on a side have no line for it."""
    chosen = [one for one in SERIES if one.name in OURS]
    return [
        line
        for concurrency in result.settings.concurrency
        for workload in result.settings.workloads
        for series in (*chosen, *OTHER_TOOLS)
        if (line := _line(result, workload, concurrency, series)) is not None
    ]


def _line(result: Result, workload: str, concurrency: int, series: Series) -> Line | None:
    cell = result.cell(workload, concurrency)
    base, other = (
        _shown([one for one in cell if one.arm == arm], series)
        for arm in (result.base, result.other)
    )
    if base is None or other is None:
        return None
    ours = series.name in OURS
    return Line(workload, concurrency, series.name, ours, base, other)


def _shown(requests: Sequence[Measured], series: Series) -> Shown | None:
    samples = [value for one in usable(requests) for value in series.of(one.reply)]
    if not samples:
        return None
    median, p99 = np.percentile(samples, [50, 99])
    return Shown(float(np.mean(samples)), float(median), float(p99))


def render_reconciled(result: Result, lines: Sequence[Line]) -> str:
    sink = StringIO()
    console = Console(file=sink, width=WIDTH, color_system=None, highlight=False, markup=False)
    other = SHORT[result.other]
    for workload, concurrency in dict.fromkeys((one.workload, one.concurrency) for one in lines):
        console.print(
            f"\n{workload} at {result.settings.level(concurrency)}: ours, and what other tools "
            "would print from the same events, for comparison only"
        )
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for name in ("series", "plain mean / p50 / p99", f"{other} mean / p50 / p99",
                     "means: plain / " + other, "medians"):  # fmt: skip
            table.add_column(name, justify="left" if name == "series" else "right", no_wrap=True)
        for line in lines:
            if (line.workload, line.concurrency) == (workload, concurrency):
                table.add_row(
                    line.series, _three(line.base), _three(line.other),
                    f"{line.speedup:.2f}x", _times(line.speedup_of_medians),
                )  # fmt: skip
            if line.series == OURS[-1]:
                table.add_section()
        console.print(table)
    console.print("`bench explain NAME` defines each.")
    return "\n".join(line.rstrip() for line in sink.getvalue().splitlines()).strip("\n") + "\n"


def _times(value: float | None) -> str:
    return "a median is 0" if value is None else f"{value:.2f}x"


def _three(shown: Shown) -> str:
    return f"{shown.mean:.2f} / {shown.median:.2f} / {shown.p99:.2f}"

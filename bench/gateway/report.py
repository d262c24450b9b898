"""The contestants side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from io import StringIO
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from bench.gateway.figures import Figures, added
from bench.record import Provenance

WIDTH = 110
NOTE = (
    "Added: later than without anything in between, against the direct median of the same run. "
    "Every chunk carries its number and the moment of its send on the machine's own clock. "
    "Complete: each stream got all chunks, once and in order, and its end mark. Streams are opened "
    "one after the other; what is timed was sent while all of them ran. One core for each "
    "contestant; fake engine and load share another. Where a contestant cannot keep up, its delays "
    "grow with the length of the run and say no more."
)


def render(found: Sequence[Figures], source: Provenance) -> str:
    sink = StringIO()
    console = Console(file=sink, width=WIDTH, color_system=None, highlight=False, markup=False)
    table = Table(
        box=SIMPLE_HEAD, pad_edge=False, title="what a gateway adds", title_justify="left"
    )
    table.add_column("")
    for one in found:
        table.add_column(f"{one.name} {one.version}".strip(), justify="right")
    for label, *cells in _rows(found):
        table.add_row(label, *cells)
    console.print(table)
    console.print(NOTE)
    commit = (source.commit or "no commit")[:12] + (" with local changes" if source.dirty else "")
    console.print(
        f"{source.date}; {commit}; {source.cpu}, {source.cores} cores of which others took "
        f"{source.others_cpu:.2f} before."
    )
    return "\n".join(line.rstrip() for line in sink.getvalue().splitlines()).strip("\n") + "\n"


def _rows(found: Sequence[Figures]) -> list[list[str]]:
    direct = found[0]
    rows = []
    for count in direct.streams:
        series = [one.streams[count] for one in found]
        more = [added(each, series[0]) for each in series]
        rows += [
            [f"{count} streams: delay, median ms", *(_ms(each.median) for each in series)],
            ["  added, median ms", "", *(_ms(each.median) for each in more[1:])],
            ["  added, p99 ms", "", *(_ms(each.p99) for each in more[1:])],
            ["  worst delay ms", *(_ms(each.worst) for each in series)],
            ["  complete", *(f"{each.complete}/{each.count}" for each in series)],
            ["  CPU ms per 1,000 chunks", *(_ms(each.cpu_per_1000) for each in series)],
        ]
    calls = [one.calls for one in found]
    rows.append(["short calls per second", *(f"{c.per_second:.0f}" if c else "" for c in calls)])
    rows.append(["  failed", *(str(c.failed) if c else "" for c in calls)])
    memory = [one.memory for one in found]
    opened = next((m.streams for m in memory if m), 0)
    rows.append(
        [f"MiB with {opened} open streams", *(f"{m.peak:.0f}" if m else "" for m in memory)]
    )
    rows.append(["  more than idle", *(f"{m.peak - m.before:+.0f}" if m else "" for m in memory)])
    rows.append(["  complete", *(f"{m.complete}/{m.streams}" if m else "" for m in memory)])
    return rows


def _ms(value: float | None) -> str:
    if value is None or math.isnan(value):
        return ""
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"


def document(found: Sequence[Figures], source: Provenance) -> dict[str, Any]:
    """For --json: every figure, and what was added to the direct ones."""
    direct = found[0]
    contestants = []
    for one in found:
        series = {
            str(count): {**asdict(each), "added": asdict(added(each, direct.streams[count]))}
            for count, each in one.streams.items()
        }
        contestants.append({**asdict(one), "streams": series})
    return {"contestants": contestants, "provenance": source.model_dump()}

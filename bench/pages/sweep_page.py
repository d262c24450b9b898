"""The page of a sweep: where speculation pays."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.breakeven import Point, points_grid, points_notes, points_of
from bench.pages.document import Document, Section, Text
from bench.pages.sources import definitions, provenance
from bench.plots.breakeven import break_even_map, speedup_grid
from bench.plots.picture import Picture
from bench.record import Result
from bench.summary import Summary
from bench.sweep import Cell, Sweep
from bench.tables import named


@dataclass(frozen=True)
class MeasuredCell:
    cell: Cell
    result: Result
    summary: Summary


def sweep_page(sweep: Sweep, measured: Sequence[MeasuredCell]) -> Document:
    """Of what is measured so far."""
    found = [point for one in measured for point in points_of(one.cell, one.result, one.summary)]
    sections = [Section("State", tuple(_state(sweep, measured)))]
    if found:
        sections += [
            Section("Where speculation pays", tuple(_pictures(found))),
            Section("Every point", (points_grid(found), Text(tuple(points_notes(found))))),
        ]
    if measured:
        sections.append(
            Section("Provenance of the first", (provenance(measured[0].result),), folded=True)
        )
    sections.append(Section("Definitions", (definitions(),), folded=True))
    return Document(f"bench sweep: {sweep.source}", sections)


def _pictures(found: Sequence[Point]) -> Iterator[Picture]:
    if (drawn := break_even_map(found)) is not None:
        yield drawn
    yield speedup_grid(found)


def _state(sweep: Sweep, measured: Sequence[MeasuredCell]) -> Iterator[Text]:
    whole = len(measured) == len(sweep.cells)
    yield Text(
        (f"{len(measured)} of {len(sweep.cells)} combinations are measured.",),
        "good" if whole else "bad",
    )
    yield Text(tuple(_faults(measured)), "bad")
    if measured:
        yield Text(
            (
                f"`bench report {measured[0].cell.file} --html FILE` makes the page of one "
                "combination, with its distributions.",
                *dict.fromkeys(one.result.provenance.cost_ratio for one in measured),
            )
        )


def _faults(measured: Sequence[MeasuredCell]) -> Iterator[str]:
    for one in measured:
        file = one.cell.file
        for row in one.summary.invalid:
            yield f"INVALID: {file}, {named(row)}: the client was the limit; {row.limited[0]}."
        for row in one.summary.faults:
            yield f"NOT LOSSLESS: {file}, {named(row)}: output is not the plain output."
        for gap in one.summary.gaps:
            yield f"{file}, {gap.workload} is not shown: {gap.reason}."

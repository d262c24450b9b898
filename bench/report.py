"""The printed table, and nothing that is not in the result."""

from collections.abc import Iterable, Iterator
from io import StringIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from bench.notes import notes
from bench.record import Result
from bench.summary import Summary
from bench.tables import Grid, evidence_grid, speed_grid
from bench.words import SAID

# Wider than any row: rich cuts cells to fit, and a cut number is a wrong one.
WIDTH = 400


def render_report(result: Result, summary: Summary) -> str:
    return printed((*_tables(result, summary), *notes(result, summary)))


def _tables(result: Result, summary: Summary) -> Iterator[str | Grid]:
    for concurrency in result.settings.concurrency:
        if any(row.concurrency == concurrency for row in summary.rows):
            yield (
                f"\n{result.settings.level(concurrency)}: time per output token (TPOT), "
                f"{result.base} and {SAID[result.other]}"
            )
            yield speed_grid(result, summary, concurrency)
            yield "the same runs: steps, first token, evidence"
            yield evidence_grid(summary, concurrency)


def printed(parts: Iterable[str | Grid]) -> str:
    """Lines and tables as plain text."""
    sink = StringIO()
    console = Console(file=sink, width=WIDTH, color_system=None, highlight=False, markup=False)
    for part in parts:
        console.print(part if isinstance(part, str) else _table(part), soft_wrap=True)
    return "\n".join(line.rstrip() for line in sink.getvalue().splitlines()).strip("\n") + "\n"


def _table(grid: Grid) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for index, name in enumerate(grid.columns):
        table.add_column(name, justify="left" if index == 0 else "right", no_wrap=True)
    for index, section in enumerate(one for one in grid.sections if one):
        if index:
            table.add_section()
        for row in section:
            table.add_row(*row)
    return table

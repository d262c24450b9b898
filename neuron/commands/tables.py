"""Tables on stdout, for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

COLOURS: Mapping[str, str] = {
    "error": "bold red",
    "failed": "bold red",
    "warning": "yellow",
    "note": "dim",
    "unknown": "dim",
    "ok": "green",
}
NARROWEST = 100
"""Columns; a pipe has none of its own, and sentences want some room."""


def print_table(heads: Sequence[str], rows: Iterable[Sequence[str]], caption: str) -> None:
    """The first cell of a row is its state and gives the colour; the last is written dim, below the
    one before it. Text is never markup.
    """
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, NARROWEST)
    table = Table(box=SIMPLE_HEAD, padding=(0, 1), show_edge=False)
    for i, head in enumerate(heads):
        table.add_column(head, no_wrap=i < 2)
    for state, *cells, last in rows:
        told = Text.assemble(cells[-1], "\n", (last, "dim"), overflow="fold")
        table.add_row(Text(state, style=COLOURS.get(state, "")), *map(Text, cells[:-1]), told)
    console.print(table)
    console.print(Text(caption))

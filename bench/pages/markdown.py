"""A document as one Markdown file, its pictures at the end so that the text can be read."""

import base64
import re
from collections.abc import Iterator, Sequence

from bench.pages.document import Block, Document, Facts, Text
from bench.plots.picture import Picture
from bench.tables import Grid

MARKS = re.compile(r"([\\`*_<>\[\]|])")
"""What would be read as Markdown or HTML."""
LINE_START = re.compile(r"^(\d*)([.#+-])(?=\s)")
"""What would begin a list or a heading."""


def as_markdown(page: Document) -> str:
    parts = [f"# {_said(page.title)}"]
    for section in page.sections:
        parts.append(f"## {_said(section.title)}")
        for block in section.blocks:
            parts += _block(block)
    pictures = [
        block for one in page.sections for block in one.blocks if isinstance(block, Picture)
    ]
    parts += [
        f"[{_name(one)}]: data:image/png;base64,{base64.b64encode(one.data('png')).decode()}"
        for one in pictures
    ]
    return "\n\n".join(parts) + "\n"


def _block(block: Block) -> Iterator[str]:
    if isinstance(block, Text):
        yield from (
            f"**{_line(line)}**" if block.tone != "plain" else _line(line) for line in block.lines
        )
    elif isinstance(block, Picture):
        yield f"![{_said(block.title)}][{_name(block)}]"
        yield f"**{_said(block.title)}.** {_said(block.says)}"
    elif isinstance(block, Facts):
        yield _table(("", ""), block.rows, ":--")
    else:
        yield _grid(block)


def _grid(grid: Grid) -> str:
    return _table(grid.columns, grid.rows, "--:")


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], align: str) -> str:
    lines = [columns, *rows]
    cells = ["| " + " | ".join(_said(cell) for cell in line) + " |" for line in lines]
    rule = "|" + "|".join((":--", *(align for _ in columns[1:]))) + "|"
    return "\n".join((cells[0], rule, *cells[1:]))


def _name(picture: Picture) -> str:
    return re.sub(r"[^a-z0-9]+", "-", picture.title.lower()).strip("-")


def _line(text: str) -> str:
    return LINE_START.sub(r"\1\\\2", _said(text))


def _said(text: str) -> str:
    return MARKS.sub(r"\\\1", " ".join(text.split()))

"""A document as one HTML file: no script, no font, no picture from elsewhere."""

import base64
from collections.abc import Iterator, Sequence
from html import escape

from bench.pages.document import Block, Document, Facts, Section, Text
from bench.plots.picture import Picture
from bench.tables import Grid

CSS = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #212529; background: #fff;
  margin: 0 auto; max-width: 88rem; padding: 1.5rem; }
h1 { font-size: 1.5rem; margin: 0 0 1rem; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; border-bottom: 1px solid #dee2e6; }
p { margin: .45rem 0; max-width: 62rem; overflow-wrap: anywhere; }
.good, .bad, .open { border-left: 4px solid #0b7285; background: #f1f8f9; padding: .4rem .8rem; }
.open { border-color: #868e96; background: #f8f9fa; }
.bad { border-color: #c92a2a; background: #fff5f5; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .82rem; margin: .6rem 0; }
th, td { padding: .22rem .55rem .22rem 0; text-align: right; white-space: nowrap;
  font-variant-numeric: tabular-nums; vertical-align: top; }
th { border-bottom: 1px solid #868e96; font-weight: 600; vertical-align: bottom; }
th:first-child, td:first-child, .facts td { text-align: left; }
tbody + tbody tr:first-child td { border-top: 1px solid #dee2e6; }
.facts td { white-space: normal; overflow-wrap: anywhere; }
.facts td:first-child { white-space: nowrap; font-weight: 600; padding-right: 1.2rem; }
figure { margin: .8rem 0 1.6rem; }
figure img { max-width: 100%; height: auto; }
figcaption { max-width: 56rem; color: #495057; font-size: .87rem; }
figcaption b { color: #212529; }
details > summary { cursor: pointer; }
summary h2 { display: inline-block; border: 0; margin: 1.2rem 0 .3rem; }
@media print { body { max-width: none; padding: 0; } figure, tr { break-inside: avoid; }
  .wide { overflow: visible; } table { font-size: .6rem; } }
"""


def as_html(page: Document) -> str:
    title = escape(page.title)
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{title}</title><style>{CSS}</style></head><body>",
        f"<h1>{title}</h1>",
    ]
    for section in page.sections:
        parts += _section(section)
    return "\n".join((*parts, "</body></html>", ""))


def _section(section: Section) -> Iterator[str]:
    title = f"<h2>{escape(section.title)}</h2>"
    yield f"<details><summary>{title}</summary>" if section.folded else f"<section>{title}"
    for block in section.blocks:
        yield from _block(block)
    yield "</details>" if section.folded else "</section>"


def _block(block: Block) -> Iterator[str]:
    if isinstance(block, Text):
        tone = "" if block.tone == "plain" else f' class="{block.tone}"'
        yield from (f"<p{tone}>{escape(line)}</p>" for line in block.lines)
    elif isinstance(block, Picture):
        yield from _picture(block)
    elif isinstance(block, Facts):
        yield '<div class="wide"><table class="facts"><tbody>'
        yield from (_row(row, "td") for row in block.rows)
        yield "</tbody></table></div>"
    else:
        yield from _grid(block)


def _grid(grid: Grid) -> Iterator[str]:
    yield '<div class="wide"><table><thead>' + _row(grid.columns, "th") + "</thead>"
    for rows in grid.sections:
        if rows:
            yield "<tbody>" + "\n".join(_row(row, "td") for row in rows) + "</tbody>"
    yield "</table></div>"


def _row(cells: Sequence[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"


def _picture(picture: Picture) -> Iterator[str]:
    # An image of its own rather than part of the page: ids in two SVGs would be the same.
    data = base64.b64encode(picture.data("svg")).decode()
    says = escape(picture.says)
    yield f'<figure><img alt="{says}" src="data:image/svg+xml;base64,{data}">'
    yield f"<figcaption><b>{escape(picture.title)}.</b> {says}</figcaption></figure>"

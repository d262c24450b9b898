"""What is on a page, before it is HTML or Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bench.plots.picture import Picture
from bench.tables import Grid

Tone = Literal["plain", "good", "bad", "open"]


@dataclass(frozen=True)
class Text:
    lines: Sequence[str]
    """A paragraph each."""
    tone: Tone = "plain"


@dataclass(frozen=True)
class Facts:
    """Names with what they mean or are; all text."""

    rows: Sequence[tuple[str, str]]


Block = Text | Grid | Facts | Picture


@dataclass(frozen=True)
class Section:
    title: str
    blocks: Sequence[Block]
    folded: bool = False
    """For who looks it up: shut at first, where the form can do that."""


@dataclass(frozen=True)
class Document:
    title: str
    sections: Sequence[Section]

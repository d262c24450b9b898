"""What all pictures share: colours, a clean frame, and their bytes."""

from dataclasses import dataclass
from io import BytesIO
from typing import Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.plot import CONTROL_SHADE, PLAIN, SPECULATIVE

__all__ = ["CONTROL_SHADE", "PLAIN", "SPECULATIVE"]

LINE, MUTED, PLAIN_DARK = "#343a40", "#5f6770", "#5c6873"
LEVELS = ("#0b7285", "#e8590c", "#862e9c", "#5c940d", "#a61e4d", "#1864ab")
"""Colours of what is told apart by colour; more than these begin again."""
PNG_DPI = 110
SALT = "bench"
"""Of the ids in an SVG: two drawings of the same result are the same bytes."""


@dataclass(frozen=True)
class Picture:
    title: str
    says: str
    """How to read it: a caption, and the text in place of it for who cannot see it."""
    figure: Figure

    def data(self, form: Literal["svg", "png"]) -> bytes:
        sink = BytesIO()
        with mpl.rc_context({"svg.hashsalt": SALT}):
            metadata = {"Date": None} if form == "svg" else {"Software": None}
            self.figure.savefig(sink, format=form, dpi=PNG_DPI, metadata=metadata)
        return sink.getvalue()


def blank(width: float, height: float) -> Figure:
    """A figure of so many inches that lays itself out."""
    return Figure(figsize=(width, height), layout="constrained")


def clean(axes: Axes, title: str = "") -> Axes:
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title, loc="left", fontsize=10)
    return axes

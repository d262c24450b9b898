"""One picture: modelled time per token over acceptance, each degree at its best K."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from neuron.errors import PairError
from neuron.plan.answer import Answer
from neuron.plan.candidates import Candidate

COLOURS = ("#0b7285", "#e8590c", "#5f3dc4", "#2b8a3e", "#c2255c", "#1864ab", "#846800")
ACCEPTANCES = tuple(x / 100 for x in range(20, 100))
SLO_COLOUR = "#495057"


def draw(answer: Answer, path: Path) -> None:
    """A panel for each batch. Raises PairError if `path` cannot be written."""
    batches = sorted({one.batch for one in answer.grid.candidates})
    figure = Figure(figsize=(4.6 * max(2, len(batches)), 5.2))
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(batches), sharey=True, squeeze=False)[0]
    for axes, batch in zip(panels, batches, strict=True):
        _panel(axes, answer, [one for one in answer.grid.candidates if one.batch == batch])
        axes.set_title(f"batch {batch}", loc="left")
    # The panels share the axis: only now is its upper end known.
    panels[0].set_ylim(bottom=0)
    panels[0].set_ylabel("ms per token (TPOT), modelled")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper center", ncols=len(labels), frameon=False)
    figure.text(0.01, 0.01, _note(answer, figure.get_figwidth()), size=7)
    figure.tight_layout(rect=(0, 0.07, 1, 0.94))
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise PairError(f"--plot {path}: {error.strerror}; name a file that can be made.") from (
            error
        )


def _panel(axes: Axes, answer: Answer, rows: Sequence[Candidate]) -> None:
    asked = answer.question
    degrees = list(asked.degrees)
    for one in rows:
        colour = COLOURS[degrees.index(one.tp) % len(COLOURS)]
        axes.axhline(
            one.costs.plain_ms, color=colour, linestyle=":", linewidth=1,
            label=None if one.memory.fits else f"TP {one.tp}, plain",
        )  # fmt: skip
        if not one.memory.fits:
            continue
        times = [one.costs.tpot_ms(a, one.costs.best_k(a, asked.ks)) for a in ACCEPTANCES]
        axes.plot(ACCEPTANCES, times, color=colour, label=f"TP {one.tp}")
        axes.plot([asked.acceptance.value], [one.speculative_ms], "o", color=colour, markersize=4)
    if asked.slo_tpot_ms is not None:
        axes.axhline(
            asked.slo_tpot_ms, color=SLO_COLOUR, linestyle="--", linewidth=1,
            label=f"SLO {asked.slo_tpot_ms:g} ms",
        )  # fmt: skip
    axes.set_xlabel("acceptance of a draft")
    axes.set_xlim(ACCEPTANCES[0], 1.0)
    axes.grid(axis="y", linewidth=0.4)
    axes.spines[["top", "right"]].set_visible(False)


def _note(answer: Answer, width: float) -> str:
    asked = answer.question
    words = (
        f"{asked.target.ref} + {asked.draft.ref} on {asked.instance_name}, "
        f"context {asked.context}, {asked.loop} loop. Modelled (docs/plan.md), "
        "not measured. Lines: speculative at the best K; dotted: plain; dot: the one asked about."
    )
    return textwrap.fill(words, round(14 * width))

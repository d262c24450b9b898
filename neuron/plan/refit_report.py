"""What `neuron plan --calibrate` says."""

from __future__ import annotations

from typing import Any

from neuron.cost import Model, published
from neuron.cost.calibrate import Refit
from neuron.cost.observation import Observation, rms
from neuron.plan.render import columns


def text(refit: Refit) -> str:
    moves = [
        (one.name, f"{one.before:.4g}", f"{one.after:.4g}", f"{one.share:+.1%}", one.unit)
        for one in refit.moves
    ]
    own = [_row(one, refit) for one in refit.own]
    theirs = [_row(one, refit) for one in published()]
    head = ("point", "measured ms", "modelled before", "error", "modelled after", "error")
    lines = [
        f"Refitted to {len(refit.own)} of our own and {len(theirs)} published points.",
        "",
        *columns([("coefficient", "before", "after", "moved", "unit"), *moves]),
        "",
        *columns([head, *own, *theirs]),
        "",
        f"Root mean square error on our own points: {refit.rms(refit.before):.1%} before, "
        f"{refit.rms(refit.after):.1%} after; on the published: {_rms(refit.before):.1%} before, "
        f"{_rms(refit.after):.1%} after.",
    ]
    shapes = {(one.tp, one.batch, one.target.source) for one in refit.own}
    if len(shapes) == 1:
        lines.append(
            "One degree, batch and model cannot tell the coefficients apart: what they say of "
            "others still rests on the published points."
        )
    return "\n".join(lines)


def document(refit: Refit) -> dict[str, Any]:
    return {
        "moves": [
            {
                "name": one.name,
                "unit": one.unit,
                "before": one.before,
                "after": one.after,
                "share": one.share,
            }
            for one in refit.moves
        ],
        "points": [
            {
                "name": one.name,
                "source": one.source,
                "own": one in refit.own,
                "measured_ms": one.measured_ms,
                "modelled_before_ms": one.modelled_ms(refit.before),
                "modelled_after_ms": one.modelled_ms(refit.after),
            }
            for one in (*refit.own, *published())
        ],
        "own_rms_before": refit.rms(refit.before),
        "own_rms_after": refit.rms(refit.after),
    }


def _rms(model: Model) -> float:
    return rms([one.log_error(model) for one in published()])


def _row(one: Observation, refit: Refit) -> tuple[str, ...]:
    before, after = one.modelled_ms(refit.before), one.modelled_ms(refit.after)
    return (
        one.name,
        f"{one.measured_ms:.2f}",
        f"{before:.2f}",
        f"{before / one.measured_ms - 1:+.1%}",
        f"{after:.2f}",
        f"{after / one.measured_ms - 1:+.1%}",
    )

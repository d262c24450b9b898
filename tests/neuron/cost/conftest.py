from __future__ import annotations

from typing import Literal

from neuron.cost import Model, shipped

Set = Literal["calibrated", "optimised", "roofline"]


def model(name: Set = "calibrated") -> Model:
    known = shipped()
    sets = {
        "calibrated": known.calibrated,
        "optimised": known.optimised,
        "roofline": known.roofline,
    }
    return Model(known.hardware, sets[name])

"""The document of `GET /v1/speculation`; docs/speculation.md explains its fields."""

from __future__ import annotations

import math
from typing import Any

from server.speculation.arm import Arm
from server.speculation.belief import Belief
from server.speculation.choice import standing
from server.speculation.classes import ClassState
from server.usage import POOLS

_95 = 1.96


def class_document(state: ClassState, belief: Belief) -> dict[str, Any]:
    current = state.current
    return {
        "class": state.name,
        "within": list(state.within),
        "requests": state.requests,
        "explored": state.explored,
        "explored_share": share(state.explored, state.requests),
        "pool": current,
        "reason": None if current is None else standing(state, current, belief),
        "time_ratio": _interval(math.exp(belief.log_ratio), belief.sigma),
        **{pool: _arm(state.samples[pool], state.arms[pool]) for pool in POOLS},
    }


def share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _arm(samples: int, arm: Arm) -> dict[str, Any]:
    known = _interval(arm.mean, math.sqrt(arm.variance)) if arm.count > 0 else None
    return {"samples": samples, "weight": arm.count, "seconds_per_token": known}


def _interval(value: float, sigma: float) -> dict[str, float]:
    """95 %, `sigma` being that of the logarithm."""
    half = math.exp(min(_95 * sigma, 700.0))
    return {"value": value, "low": value / half, "high": value * half}

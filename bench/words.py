"""How names and numbers are written wherever they are printed."""

from collections.abc import Mapping

from bench.record import Arm
from bench.stats import Estimate

MANY = 1000

SAID: Mapping[Arm, str] = {"speculative": "speculative", "again": "plain again"}
SHORT: Mapping[Arm, str] = {"speculative": "spec.", "again": "again"}


def ratio(estimate: Estimate) -> str:
    return f"{estimate.value:.2f}x [{_bound(estimate.low)}, {_bound(estimate.high)}]"


def _bound(value: float) -> str:
    return f"{value:.2f}" if value < MANY else f"{value:.0e}"

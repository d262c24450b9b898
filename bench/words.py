"""How names and numbers are written wherever they are printed."""

from collections.abc import Mapping

from bench.record import Arm
from bench.stats import Estimate

SAID: Mapping[Arm, str] = {"speculative": "speculative", "again": "plain again"}
SHORT: Mapping[Arm, str] = {"speculative": "spec.", "again": "again"}


def ratio(estimate: Estimate) -> str:
    return f"{estimate.value:.2f}x [{estimate.low:.2f}, {estimate.high:.2f}]"

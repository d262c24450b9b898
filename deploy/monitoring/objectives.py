"""What was promised: latency alerts are about how fast that promise is being used up."""

from __future__ import annotations

from dataclasses import dataclass

from neuron.errors import PairError
from neuron.render.start import UNMEASURED_S, overdue_s
from server.metrics import REQUEST_SECONDS, TOKEN_SECONDS


@dataclass(frozen=True)
class Objectives:
    """Raises PairError for a time that is no bound of its histogram's buckets."""

    ttft_s: float = 2.5
    tpot_s: float = 0.05
    share: float = 0.99
    """Of requests that must keep each of the two."""
    overdue_s: float = overdue_s(UNMEASURED_S["nxdi"])
    """How long a gateway may miss an engine that has its artefact."""

    def __post_init__(self) -> None:
        for option, value, bounds in (
            ("--ttft", self.ttft_s, REQUEST_SECONDS),
            ("--tpot", self.tpot_s, TOKEN_SECONDS),
        ):
            if value not in bounds:
                told = ", ".join(f"{one:g}" for one in bounds)
                raise PairError(
                    f"{option} {value:g} cannot be counted: give a bound of the histogram, "
                    f"one of {told} seconds."
                )
        if not 0.5 <= self.share < 1:
            raise PairError(f"--share {self.share:g} must be from 0.5 to below 1, as 0.99.")

    @property
    def ttft_bucket(self) -> str:
        return str(float(self.ttft_s))

    @property
    def tpot_bucket(self) -> str:
        return str(float(self.tpot_s))

    @property
    def budget(self) -> float:
        """The share of requests that may miss."""
        return 1 - self.share

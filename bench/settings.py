"""What a run was told to do, fixed before its first request."""

from typing import Literal

from bench.events import Fact
from bench.workloads import Profile

OPEN_LOOP = 0
"""In place of a concurrency: requests leave when `Arrivals` says, however many are in flight."""


class Arrivals(Fact):
    """An open loop. The same drawn times for both arms."""

    rate: float
    """Requests per second."""
    burst: int = 1
    """Requests that leave together; bursts come at rate / burst, with exponential gaps between."""


class Slo(Fact):
    """What a good request keeps; `None`: no bound."""

    ttft_ms: float | None = None
    tpot_ms: float | None = None


class UserFile(Fact):
    """A file of the user's own requests, as it was when the run began."""

    path: str
    sha256: str


class Settings(Fact):
    workloads: tuple[str, ...]
    prompts: int
    """Of each workload."""
    rounds: int
    """A B B A blocks of each workload and level; each gives a prompt two repeats on each arm."""
    concurrency: tuple[int, ...]
    """Requests in flight, a level each; (0,) is the open loop of `arrivals`."""
    max_tokens: int
    seed: int
    guided: bool
    """Answers that have a JSON schema were constrained to it."""
    warmup: int
    """Requests per arm and level that ran first and were thrown away.

    Never fewer than the concurrency, unless it is 0.
    """
    arrivals: Arrivals | None = None
    temperature: float | None = None
    """Of all requests; `None`: each workload's own."""
    slo: Slo = Slo()
    profile: Profile = "bundled"
    """Which prompts a workload's name stands for."""
    files: tuple[UserFile, ...] = ()
    stop_rule: Literal["fixed"] = "fixed"
    """The run ends after its `planned` requests, whatever they show."""

    @property
    def per_cell(self) -> int:
        """Requests of one workload at one level, both arms together."""
        return self.prompts * 4 * self.rounds

    @property
    def planned(self) -> int:
        return self.per_cell * len(self.workloads) * len(self.concurrency)

    def level(self, concurrency: int) -> str:
        """`concurrency 4`, or the open loop in words."""
        if concurrency != OPEN_LOOP or self.arrivals is None:
            return f"concurrency {concurrency}"
        rate, burst = self.arrivals.rate, self.arrivals.burst
        return f"{rate:g} requests/s, " + (f"bursts of {burst}" if burst > 1 else "Poisson")

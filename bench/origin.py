"""Where a result comes from, as it stands in its file."""

from typing import Any, Literal

from pydantic import Field

from bench.events import Fact

Arm = Literal["plain", "speculative", "direct", "gateway", "again"]


class Launched(Fact):
    """How one arm's engine was started; `argv` is empty if it ran already at `url`."""

    arm: Arm
    url: str
    model: str
    argv: tuple[str, ...] = ()
    env: dict[str, str] = Field(default_factory=dict)
    ready_s: float | None = None
    version: str | None = None
    """What the engine answers at /version."""


class Provenance(Fact):
    date: str
    """ISO 8601 with its zone, of just before the first measured request."""
    commit: str | None
    dirty: bool | None
    """Whether the code had changes that no commit holds."""
    command: tuple[str, ...]
    """The bench's own command line."""
    packages: dict[str, str]
    python: str
    platform: str
    cpu: str
    cores: int
    """That the bench may run on."""
    memory_bytes: int
    threads: str | None
    """OMP_NUM_THREADS of the engines that we started."""
    others_cpu: float
    """CPUs' worth of time that other processes took just before the first measured request."""
    pair: dict[str, Any] | None
    """The pair's own keys; `None` where engines were given by URL."""
    pair_sha256: str | None
    engines: tuple[Launched, ...]
    weights: dict[str, dict[str, str]]
    """Per model, `target` and `draft`: sha256 of each weight file, where we started the engine."""
    cost_ratio: str
    """What is real in the times and what was chosen, to be printed with them."""

"""What one contestant showed; pure numbers, no processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

US = 1e3


@dataclass(frozen=True)
class Streams:
    """One series of streams. Times in ms, of chunks that were sent while all streams ran."""

    count: int
    chunks: int
    """Of each stream."""
    arrived: int
    """Of all chunks."""
    timed: int
    complete: int
    """Streams that got every chunk once, in order, and the end mark."""
    median: float
    p99: float
    worst: float
    cpu_per_1000: float | None
    """CPU in ms for 1,000 chunks; None where nothing was in between."""

    @property
    def is_complete(self) -> bool:
        return self.complete == self.count


@dataclass(frozen=True)
class Calls:
    per_second: float
    failed: int
    cpu_each: float | None
    """ms"""


@dataclass(frozen=True)
class Memory:
    """Resident memory of the contestant's processes, in MiB."""

    before: float
    peak: float
    streams: int
    complete: int


@dataclass(frozen=True)
class Figures:
    name: str
    version: str
    streams: Mapping[int, Streams] = field(default_factory=dict)
    """By the number of streams."""
    calls: Calls | None = None
    memory: Memory | None = None


def summarise(
    count: int,
    chunks: int,
    arrived: int,
    complete: int,
    delays_us: Sequence[int],
    cpu_s: float | None,
) -> Streams:
    """`delays_us`: from the engine's send to the client's read, sorted, of bench.gateway.load."""
    return Streams(
        count=count,
        chunks=chunks,
        arrived=arrived,
        timed=len(delays_us),
        complete=complete,
        median=percentile(delays_us, 50) / US,
        p99=percentile(delays_us, 99) / US,
        worst=percentile(delays_us, 100) / US,
        cpu_per_1000=None if cpu_s is None or not arrived else cpu_s / arrived * 1e6,
    )


def percentile(ordered: Sequence[int], percent: int) -> float:
    """The smallest value that `percent` of all do not exceed; nan of none."""
    if not ordered:
        return float("nan")
    return float(ordered[-(-percent * len(ordered) // 100) - 1])


@dataclass(frozen=True)
class Added:
    """How much later a chunk came than without anything in between, in ms.

    Both against the direct median of the same run: a single chunk is not sent twice.
    """

    median: float
    p99: float


def added(through: Streams, direct: Streams) -> Added:
    return Added(through.median - direct.median, through.p99 - direct.median)

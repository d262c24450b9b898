"""Whether the client itself was the limit: then a side of a row is no measurement of the engine."""

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.record import Block, Measured
from bench.settings import Arrivals


@dataclass(frozen=True)
class ClientLimits:
    cpu: float = 0.8
    """Of a core, by the thread that stamps; more and it has a queue of its own."""
    stalled: float = 0.2
    """Share of the time in which it could stamp nothing."""
    late: float = 0.1
    """Of the mean gap between arrivals: the median request left this much after its time."""


CLIENT_LIMITS = ClientLimits()
UNLIMITED = ClientLimits(math.inf, math.inf, math.inf)


def limited(
    blocks: Sequence[Block],
    requests: Sequence[Measured],
    arrivals: Arrivals | None,
    limits: ClientLimits = CLIENT_LIMITS,
) -> Iterator[str]:
    """Reasons, of one arm's blocks and requests at one workload and level."""
    cpu, stalled = _mean(blocks, "client_cpu"), _mean(blocks, "client_stalled")
    yield from exceeded(cpu, stalled, limits)
    if arrivals is None or not requests:
        return
    late, gap = statistics.median(one.late_ms for one in requests), 1e3 / arrivals.rate
    if late >= limits.late * gap:
        yield f"half of the requests left {late:.1f} ms late or more, at a mean gap of {gap:.1f} ms"


def exceeded(cpu: float, stalled: float, limits: ClientLimits = CLIENT_LIMITS) -> Iterator[str]:
    """Reasons, of what the thread that stamps took and for how long it stood still."""
    if cpu >= limits.cpu:
        yield f"the bench's own thread used {cpu:.0%} of a core"
    if stalled >= limits.stalled:
        yield f"the bench could stamp nothing in {stalled:.0%} of the time"


def _mean(blocks: Sequence[Block], field: str) -> float:
    """Weighed by the blocks' lengths."""
    whole = sum(one.ended_ns - one.started_ns for one in blocks)
    if not whole:
        return 0.0
    return float(
        sum(getattr(one, field) * (one.ended_ns - one.started_ns) for one in blocks) / whole
    )

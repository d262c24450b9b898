"""Acceptance by the engine's account of each request, and by its counters where they prove it."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.counters import foreign
from bench.record import Block, Measured, Speculation


@dataclass(frozen=True)
class Acceptance:
    length: float
    """Tokens per step: 1 + accepted / steps, the target's own token included."""
    per_position: tuple[float, ...]
    """Share of steps in which at least this many drafts were accepted."""
    rate: float
    """Accepted / drafted. Not the chance that a draft is accepted if all before it were."""


@dataclass(frozen=True)
class Counted:
    """What the servers' counters say of both arms' blocks at one workload and level."""

    blocks: int
    proved: int
    """Blocks whose counters grew by exactly what our own requests had."""
    refuted: str | None
    """The first reason against it; the counters are then not used."""
    acceptance: Acceptance | None


def acceptance(requests: Sequence[Speculation]) -> Acceptance | None:
    """Pooled over steps; `None` if no step was speculative."""
    steps = sum(one.steps for one in requests)
    if not steps:
        return None
    accepted = sum(one.accepted for one in requests)
    drafted = sum(one.drafted for one in requests)
    runs = [run for one in requests for run in one.per_step_accepted]
    depth = max((k for one in requests for k in one.per_step_drafted), default=0)
    shares = (sum(run >= place for run in runs) / len(runs) for place in range(1, depth + 1))
    return Acceptance(
        1 + accepted / steps, tuple(shares) if runs else (), accepted / drafted if drafted else 0.0
    )


def counted(blocks: Sequence[Block], requests: Sequence[Measured]) -> Counted:
    """`blocks` and `requests` of both arms at one workload and level."""
    reasons: list[str | None] = [] if blocks else ["none were read"]
    for block in blocks:
        mine = [r for r in requests if (r.block, r.arm) == (block.number, block.arm)]
        if block.counters is None:
            reasons.append("the server shows no counters of a vLLM engine at /metrics")
        else:
            reasons.append(foreign(mine, block.counters))
    refuted = next((reason for reason in reasons if reason is not None), None)
    proved = sum(reason is None for reason in reasons)
    found = None if refuted else _by_counters(blocks)
    return Counted(len(blocks), proved, refuted, found)


def _by_counters(blocks: Sequence[Block]) -> Acceptance | None:
    seen = [block.counters for block in blocks if block.counters and block.counters.steps]
    steps, drafted = sum(one.steps for one in seen), sum(one.drafted for one in seen)
    if not steps:
        return None
    accepted = sum(one.accepted for one in seen)
    places = zip(*(one.accepted_per_position for one in seen), strict=True)
    return Acceptance(
        1 + accepted / steps,
        tuple(sum(place) / steps for place in places),
        accepted / drafted if drafted else 0.0,
    )

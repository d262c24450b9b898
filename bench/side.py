"""One arm of a cell, and both arms' answers against each other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bench.arm_facts import usable
from bench.identity import Identity, compare, halves, tie_nats
from bench.record import Arm, Block, Measured, Reply, Result
from bench.stats import Floats


@dataclass(frozen=True)
class Side:
    """One arm of a cell."""

    arm: Arm
    requests: list[Measured]
    blocks: list[Block]

    @classmethod
    def of(cls, result: Result, cell: Sequence[Measured], arm: Arm) -> "Side":
        mine = [one for one in cell if one.arm == arm]
        where = {(one.workload, one.concurrency, arm) for one in mine}
        blocks = [b for b in result.blocks if (b.workload, b.concurrency, b.arm) in where]
        return cls(arm, mine, blocks)

    def tokens(self) -> dict[tuple[int, int], tuple[int, ...]]:
        # A server that tells no ids has said nothing that could be compared.
        kept = [one for one in usable(self.requests) if one.reply.counted_by == "token_ids"]
        return {(one.prompt, one.repeat): one.reply.token_ids for one in kept}

    def array(self, shape: tuple[int, int], series: Callable[[Reply], float | None]) -> Floats:
        values = np.full(shape, np.nan)
        for one in usable(self.requests):
            value = series(one.reply)
            if value is not None:
                values[one.prompt, one.repeat] = value
        return values


def identities(result: Result, base: Side, other: Side) -> tuple[Identity, Identity]:
    cell = {(one.workload, one.concurrency) for one in base.requests}
    probes = {
        arm: {
            (one.prompt, one.repeat): one
            for one in result.probes
            if one.arm == arm and (one.workload, one.concurrency) in cell
        }
        for arm in (base.arm, other.arm)
    }
    nats = tie_nats(result.provenance.engines)
    plain = base.tokens()
    return (
        compare(plain, other.tokens(), probes[other.arm], nats),
        compare(*halves(plain), probes[base.arm], nats),
    )

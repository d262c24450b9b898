"""From raw events to rows. A row has every number or it is a gap with a reason."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench import timing
from bench.acceptance import Acceptance, Counted, acceptance, counted
from bench.arm_facts import ArmFacts, arm_facts, usable
from bench.client_limit import CLIENT_LIMITS, ClientLimits, limited
from bench.identity import Identity, compare
from bench.record import Measured, Result
from bench.side import Side, identities
from bench.stats import (
    MIN_PROMPTS,
    Estimate,
    Floats,
    Paired,
    geometric_mean_ratio,
    pooled_speedup,
    ratio_of_medians,
    total_ratio,
)
from bench.verdict import Verdict, verdict

STRUCTURED_ALL = "structured, all"


@dataclass(frozen=True)
class Row:
    workload: str
    structured: bool
    sampled: bool
    """Not greedy: token identity says nothing and is not asked."""
    concurrency: int
    prompts: int
    repeats: int
    base: ArmFacts
    other: ArmFacts
    speedup: Estimate
    paired_mean: Estimate
    acceptance: Acceptance | None
    counted: Counted
    """By the server's counters, of both arms."""
    identity: Identity
    control: Identity
    """The base arm against itself."""
    limited: tuple[str, ...]
    """Why the client was the limit; the verdict is then `invalid`."""
    verdict: Verdict
    tpot: Paired
    total: Paired


@dataclass(frozen=True)
class Gap:
    workload: str
    concurrency: int
    reason: str


@dataclass(frozen=True)
class Pool:
    """All structured workloads together."""

    concurrency: int
    workloads: int
    tpot_base: float
    tpot_other: float
    speedup: Estimate
    total: Estimate
    verdict: Verdict


@dataclass(frozen=True)
class Summary:
    rows: tuple[Row, ...]
    gaps: tuple[Gap, ...]
    pools: tuple[Pool, ...]

    @property
    def faults(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if not row.identity.lossless)

    @property
    def invalid(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.limited)


def summarise(result: Result, limits: ClientLimits = CLIENT_LIMITS) -> Summary:
    seed = result.settings.seed
    cells = [
        _row(result, workload, concurrency, limits)
        for concurrency in result.settings.concurrency
        for workload in result.settings.workloads
    ]
    rows = tuple(cell for cell in cells if isinstance(cell, Row))
    gaps = tuple(cell for cell in cells if isinstance(cell, Gap))
    structured = {prompt.workload for prompt in result.prompts if prompt.structured}
    pools = []
    for concurrency in result.settings.concurrency:
        chosen = [row for row in rows if row.structured and row.concurrency == concurrency]
        # One missing workload would change what the pooled number is about.
        if len(chosen) == len(structured) > 1:
            pools.append(_pool(concurrency, chosen, seed))
    return Summary(rows, gaps, tuple(pools))


def _row(result: Result, workload: str, concurrency: int, limits: ClientLimits) -> Row | Gap:
    cell = result.cell(workload, concurrency)
    planned = result.settings.per_cell
    if len(cell) < planned:
        return Gap(workload, concurrency, f"the run ended after {len(cell)} of {planned} requests")
    base, other = Side.of(result, cell, result.base), Side.of(result, cell, result.other)
    repeats = 2 * result.settings.rounds
    shape = (result.settings.prompts, repeats)
    tpot = Paired.of(base.array(shape, timing.tpot_ms), other.array(shape, timing.tpot_ms))
    accepted = acceptance(
        [one.reply.speculation for one in usable(other.requests) if one.reply.speculation]
    )
    if tpot.prompts < MIN_PROMPTS:
        return Gap(workload, concurrency, _why(cell))
    if result.kind == "speedup" and accepted is None:
        return Gap(workload, concurrency, "the engine reported no speculative step")
    settings, speedup = result.settings, ratio_of_medians(tpot, result.settings.seed)
    asked = [one for one in result.prompts if one.workload == workload]
    sampled = any(one.temperature for one in asked)
    identity, control = (
        (compare({}, {}), compare({}, {})) if sampled else identities(result, base, other)
    )
    limited_by = tuple(
        f"{side.arm}: {reason}"
        for side in (base, other)
        for reason in limited(side.blocks, side.requests, settings.arrivals, limits)
    )
    return Row(
        workload=workload,
        structured=any(one.structured for one in asked),
        sampled=sampled,
        concurrency=concurrency,
        prompts=tpot.prompts,
        repeats=repeats,
        base=arm_facts(base.requests, base.blocks, tpot.base, settings.slo, settings.seed),
        other=arm_facts(other.requests, other.blocks, tpot.other, settings.slo, settings.seed),
        speedup=speedup,
        paired_mean=geometric_mean_ratio(tpot, settings.seed),
        acceptance=accepted,
        counted=counted([*base.blocks, *other.blocks], cell),
        identity=identity,
        control=control,
        limited=limited_by,
        verdict="invalid" if limited_by else verdict(speedup),
        tpot=tpot,
        total=Paired.of(base.array(shape, timing.total_ms), other.array(shape, timing.total_ms)),
    )


def _why(cell: Sequence[Measured]) -> str:
    problems = [one.reply.problem for one in cell if one.reply.problem is not None]
    if problems:
        return f"{len(problems)} of {len(cell)} requests unusable, first: {problems[0]}"
    return f"fewer than {MIN_PROMPTS} prompts with more than one chunk on both sides"


def _pool(concurrency: int, rows: Sequence[Row], seed: int) -> Pool:
    speedup = pooled_speedup([row.tpot for row in rows], seed)
    return Pool(
        concurrency=concurrency,
        workloads=len(rows),
        tpot_base=_median_of_all([row.tpot.base for row in rows]),
        tpot_other=_median_of_all([row.tpot.other for row in rows]),
        speedup=speedup,
        total=total_ratio([row.total for row in rows], seed),
        verdict="invalid" if any(row.limited for row in rows) else verdict(speedup),
    )


def _median_of_all(sides: Sequence[Floats]) -> float:
    return float(np.nanmedian(np.concatenate([side.ravel() for side in sides])))

"""From raw events to rows. A row has every number or it is a gap with a reason."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bench import timing
from bench.acceptance import Acceptance, acceptance
from bench.identity import Identity, compare
from bench.record import Arm, Measured, Reply, Result
from bench.stats import (
    MIN_PROMPTS,
    Estimate,
    Floats,
    Paired,
    geometric_mean_ratio,
    median_of,
    pooled_speedup,
    ratio_of_medians,
    total_ratio,
)
from bench.verdict import Verdict, verdict

STRUCTURED_ALL = "structured, all"


@dataclass(frozen=True)
class ArmFacts:
    """One arm's side of a row. Times in ms."""

    tpot: Estimate
    ttft: float
    step_gap: float
    tokens_per_chunk: float
    requests: int
    valid: int
    exact: int
    cut_off: int
    """Ended by max_tokens; never valid."""
    unusable: int
    merged_chunks: int
    chunks: int
    client_lag: float
    """The worst, in ms."""


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
    identity: Identity
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


def summarise(result: Result) -> Summary:
    seed = result.settings.seed
    cells = [
        _row(result, workload, concurrency)
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


def _row(result: Result, workload: str, concurrency: int) -> Row | Gap:
    cell = result.cell(workload, concurrency)
    planned = result.settings.per_cell
    if len(cell) < planned:
        return Gap(workload, concurrency, f"the run ended after {len(cell)} of {planned} requests")
    base = [one for one in cell if one.arm == result.base]
    other = [one for one in cell if one.arm == result.other]
    repeats = 2 * result.settings.rounds
    shape = (result.settings.prompts, repeats)
    tpot = Paired.of(_array(base, shape, timing.tpot_ms), _array(other, shape, timing.tpot_ms))
    spoken = [one.reply.speculation for one in _usable(other) if one.reply.speculation]
    accepted = acceptance(spoken)
    if tpot.prompts < MIN_PROMPTS:
        return Gap(workload, concurrency, _why(cell))
    if result.kind == "speedup" and accepted is None:
        return Gap(workload, concurrency, "the engine reported no speculative step")
    seed = result.settings.seed
    speedup = ratio_of_medians(tpot, seed)
    asked = [one for one in result.prompts if one.workload == workload]
    sampled = any(one.temperature for one in asked)
    return Row(
        workload=workload,
        structured=any(one.structured for one in asked),
        sampled=sampled,
        concurrency=concurrency,
        prompts=tpot.prompts,
        repeats=repeats,
        base=_facts(base, tpot.base, seed),
        other=_facts(other, tpot.other, seed),
        speedup=speedup,
        paired_mean=geometric_mean_ratio(tpot, seed),
        acceptance=accepted,
        identity=compare({}, {}) if sampled else compare(_tokens(base), _tokens(other)),
        verdict=verdict(speedup),
        tpot=tpot,
        total=Paired.of(
            _array(base, shape, timing.total_ms), _array(other, shape, timing.total_ms)
        ),
    )


def _usable(requests: Sequence[Measured]) -> list[Measured]:
    return [one for one in requests if one.reply.problem is None]


def _tokens(requests: Sequence[Measured]) -> dict[tuple[int, int], tuple[int, ...]]:
    return {(one.prompt, one.repeat): one.reply.token_ids for one in _usable(requests)}


def _array(
    requests: Sequence[Measured], shape: tuple[int, int], series: Callable[[Reply], float | None]
) -> Floats:
    values = np.full(shape, np.nan)
    for one in _usable(requests):
        value = series(one.reply)
        if value is not None:
            values[one.prompt, one.repeat] = value
    return values


def _why(cell: Sequence[Measured]) -> str:
    problems = [one.reply.problem for one in cell if one.reply.problem is not None]
    if problems:
        return f"{len(problems)} of {len(cell)} requests unusable, first: {problems[0]}"
    return f"fewer than {MIN_PROMPTS} prompts with more than one chunk on both sides"


def _facts(requests: Sequence[Measured], tpot: Floats, seed: int) -> ArmFacts:
    usable = _usable(requests)
    replies = [one.reply for one in usable]
    sizes = [size for reply in replies for size in timing.tokens_per_chunk(reply)]
    gaps = [gap for reply in replies for gap in timing.step_gaps_ms(reply)]
    return ArmFacts(
        tpot=median_of(tpot, seed),
        ttft=statistics.median(timing.ttft_ms(reply) for reply in replies),
        step_gap=statistics.median(gaps),
        tokens_per_chunk=statistics.fmean(sizes),
        requests=len(usable),
        valid=sum(one.valid for one in usable),
        exact=sum(one.exact for one in usable),
        cut_off=sum(reply.finish_reason == "length" for reply in replies),
        unusable=len(requests) - len(usable),
        merged_chunks=sum(reply.merged_chunks for reply in replies),
        chunks=sum(len(timing.sizes(reply)) for reply in replies),
        client_lag=max(one.client_lag_ms for one in usable),
    )


def _pool(concurrency: int, rows: Sequence[Row], seed: int) -> Pool:
    speedup = pooled_speedup([row.tpot for row in rows], seed)
    return Pool(
        concurrency=concurrency,
        workloads=len(rows),
        tpot_base=_median_of_all(rows, "plain"),
        tpot_other=_median_of_all(rows, "speculative"),
        speedup=speedup,
        total=total_ratio([row.total for row in rows], seed),
        verdict=verdict(speedup),
    )


def _median_of_all(rows: Sequence[Row], arm: Arm) -> float:
    sides = [row.tpot.base if arm == "plain" else row.tpot.other for row in rows]
    return float(np.nanmedian(np.concatenate([side.ravel() for side in sides])))

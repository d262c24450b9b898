"""Where speculation pays: what a step costs with drafts against what it emits, cell by cell."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bench.client_limit import CLIENT_LIMITS, ClientLimits
from bench.record import Result
from bench.report import printed
from bench.stats import Estimate
from bench.summary import Row, Summary, summarise
from bench.sweep import Cell
from bench.tables import Grid
from bench.verdict import Verdict, in_words
from bench.words import ratio
from neuron.cost import Costs, Model, Setup, loop_of, shipped
from neuron.errors import SpecserveError
from neuron.shapes import shape_of


@dataclass(frozen=True)
class Modelled:
    """neuron's cost model for the same pair and load, ms. Not measured."""

    plain_step_ms: float
    step_ms: float
    speedup: float
    """With the measured tokens per chunk."""


@dataclass(frozen=True)
class Point:
    draft: str | None
    k: int | None
    temperature: float | None
    guided: bool
    """Its answers were constrained, where the workload has a schema."""
    level: str
    workload: str
    structured: bool
    plain_step_ms: float
    step_ms: float
    tokens_per_step: float
    speedup: Estimate
    verdict: Verdict
    valid: float
    """Share of the speculative answers."""
    modelled: Modelled | None
    """`None` where the pair is not for Trainium2, or was not named."""

    @property
    def break_even(self) -> float:
        """Tokens per step at which a step with drafts is worth what it costs."""
        return self.step_ms / self.plain_step_ms

    @property
    def accounted(self) -> float:
        """The speedup that step costs and tokens per step explain."""
        return self.tokens_per_step / self.break_even


@dataclass(frozen=True)
class StepCost:
    """Of one draft at one load: a line through the measured step gaps over K."""

    draft: str | None
    level: str
    guided: bool
    base_ms: float
    """One step of the target alone."""
    verify_ms: float
    """The line at K = 0: a step with drafts switched on and none made."""
    per_draft_ms: float
    """One draft pass and the row that verifies it."""


def points(
    cells: Sequence[tuple[Cell, Result]], limits: ClientLimits = CLIENT_LIMITS
) -> list[Point]:
    return [
        point
        for cell, result in cells
        for point in points_of(cell, result, summarise(result, limits))
    ]


def points_of(cell: Cell, result: Result, summary: Summary) -> list[Point]:
    """Workloads that could not be shown have no point."""
    return [_point(cell, result, row) for row in summary.rows]


def _point(cell: Cell, result: Result, row: Row) -> Point:
    return Point(
        draft=cell.draft,
        k=cell.k,
        temperature=cell.settings.temperature,
        guided=cell.settings.guided,
        level=cell.settings.level(row.concurrency),
        workload=row.workload,
        structured=row.structured,
        plain_step_ms=row.base.step_gap,
        step_ms=row.other.step_gap,
        tokens_per_step=row.other.tokens_per_chunk,
        speedup=row.speedup,
        verdict=row.verdict,
        valid=row.other.valid / max(1, row.other.requests),
        modelled=modelled(result, row),
    )


def modelled(result: Result, row: Row) -> Modelled | None:
    pair = result.provenance.pair
    if pair is None or pair.get("tp_degree") is None or not pair.get("draft"):
        return None
    try:
        target, draft = shape_of(pair["target"]), shape_of(pair["draft"])
    except SpecserveError:
        return None
    held = [
        (one.reply.prompt_tokens or 0) + (one.reply.completion_tokens or 0) / 2
        for one in result.cell(row.workload, row.concurrency)
        if one.reply.problem is None
    ]
    parameters = shipped()
    setup = Setup(target, draft, pair["tp_degree"], pair["max_num_seqs"], round(np.median(held)))
    costs = Costs.of(
        Model(parameters.hardware, parameters.calibrated),
        setup,
        loop=loop_of(pair["stack"]),
        max_k=pair["num_draft_tokens"],
    )
    step = costs.step_ms(pair["num_draft_tokens"])
    return Modelled(costs.plain_ms, step, costs.plain_ms * row.other.tokens_per_chunk / step)


def step_costs(found: Sequence[Point]) -> Iterator[StepCost]:
    """Where at least two K were measured, and the client was no limit."""
    for key in dict.fromkeys((one.draft, one.level, one.guided) for one in found):
        mine = [
            one
            for one in found
            if (one.draft, one.level, one.guided) == key and one.k and one.verdict != "invalid"
        ]
        if len({one.k for one in mine}) < 2:
            continue
        slope, start = np.polyfit([one.k or 0 for one in mine], [one.step_ms for one in mine], 1)
        base = float(np.median([one.plain_step_ms for one in mine]))
        yield StepCost(*key, base, float(start), float(slope))


def render_points(found: Sequence[Point]) -> str:
    head = "where speculation pays: tokens per step against what a step costs"
    return printed((head, points_grid(found), *points_notes(found)))


def points_grid(found: Sequence[Point]) -> Grid:
    model = any(one.modelled for one in found)
    beside = ("modelled plain → step ms", "modelled speedup") if model else ()
    return Grid(
        ("workload", "draft", "K", "temperature", "guided", "load", "plain step ms", "step ms",
         "break-even tokens", "tokens/step", "speedup [95 %]", "accounted", "valid", "verdict",
         *beside),
        ([[*_cells(one), *_modelled_cells(one.modelled, model)] for one in found],),
    )  # fmt: skip


def points_notes(found: Sequence[Point]) -> Iterator[str]:
    for cost in step_costs(found):
        guided = ", guided" if cost.guided else ""
        yield (
            f"{cost.draft or 'draft'}, {cost.level}{guided}: a plain step takes "
            f"{cost.base_ms:.2f} ms, one with drafts {cost.verify_ms:.2f} + "
            f"{cost.per_draft_ms:.2f} x K ms (measured)."
        )
    yield (
        "Break-even = step gap with drafts / plain step gap: what a step must emit. Accounted = "
        "tokens per step / break-even: what of the speedup these two explain."
    )


def _cells(one: Point) -> list[str]:
    return [
        one.workload if one.structured else f"{one.workload} (control)",
        (one.draft or "").rpartition("/")[2],
        "" if one.k is None else str(one.k),
        "own" if one.temperature is None else f"{one.temperature:g}",
        "yes" if one.guided else "no",
        one.level,
        f"{one.plain_step_ms:.1f}",
        f"{one.step_ms:.1f}",
        f"{one.break_even:.2f}",
        f"{one.tokens_per_step:.2f}",
        ratio(one.speedup),
        f"{one.accounted:.2f}x",
        f"{one.valid:.0%}",
        in_words(one.verdict, one.speedup),
    ]


def _modelled_cells(found: Modelled | None, wanted: bool) -> list[str]:
    if not wanted:
        return []
    if found is None:
        return ["", ""]
    return [f"{found.plain_step_ms:.1f} → {found.step_ms:.1f}", f"{found.speedup:.2f}x"]

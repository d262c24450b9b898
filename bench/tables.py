"""The rows of a summary as tables of text: for the terminal, a page and Markdown alike."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.arm_facts import ArmFacts
from bench.record import Result
from bench.summary import STRUCTURED_ALL, Pool, Row, Summary
from bench.verdict import in_words
from bench.words import SHORT, ratio

Cells = Sequence[str]


@dataclass(frozen=True)
class Grid:
    columns: Cells
    """The first is text; the others are numbers."""
    sections: Sequence[Sequence[Cells]]
    """Groups of rows, with a line between them; a group may be empty."""

    @property
    def rows(self) -> list[Cells]:
        return [row for section in self.sections for row in section]


def speed_grid(result: Result, summary: Summary, concurrency: int) -> Grid:
    """The main table of one level."""
    rows = _at(summary, concurrency)
    structured = [row for row in rows if row.structured]
    pools = [one for one in summary.pools if one.concurrency == concurrency]
    other = SHORT[result.other]
    return Grid(
        ("workload", "plain ms", f"{other} ms", "speedup [95 %]", "paired mean [95 %]",
         "accept. length", "valid plain", f"valid {other}", "identical", "verdict"),
        (
            [_speed_cells(row) for row in structured],
            [_pool_cells(pool, structured) for pool in pools],
            [_speed_cells(row) for row in rows if not row.structured],
        ),
    )  # fmt: skip


def evidence_grid(summary: Summary, concurrency: int) -> Grid:
    """What stands behind the main table of one level."""
    return Grid(
        ("workload", "prompts x repeats", "TTFT ms", "E2E ms", "step gap ms", "tokens/chunk",
         "tokens/s", "valid goodput/s", "exact", "cut off", "unusable", "merged", "client lag ms",
         "accepted at 1, 2, …"),
        ([_evidence_cells(row) for row in _at(summary, concurrency)],),
    )  # fmt: skip


def _at(summary: Summary, concurrency: int) -> list[Row]:
    return [row for row in summary.rows if row.concurrency == concurrency]


def named(row: Row) -> str:
    return row.workload if row.structured else f"{row.workload} (control)"


def _speed_cells(row: Row) -> list[str]:
    return [
        named(row),
        f"{row.base.tpot.value:.2f}",
        f"{row.other.tpot.value:.2f}",
        ratio(row.speedup),
        ratio(row.paired_mean),
        f"{row.acceptance.length:.2f}" if row.acceptance else "",
        f"{row.base.valid}/{row.base.requests}",
        f"{row.other.valid}/{row.other.requests}",
        "sampled" if row.sampled else f"{row.identity.same}/{row.identity.compared}",
        in_words(row.verdict, row.speedup),
    ]


def _pool_cells(pool: Pool, rows: Sequence[Row]) -> list[str]:
    return [
        STRUCTURED_ALL,
        f"{pool.tpot_base:.2f}",
        f"{pool.tpot_other:.2f}",
        ratio(pool.speedup),
        "",
        "",
        f"{sum(r.base.valid for r in rows)}/{sum(r.base.requests for r in rows)}",
        f"{sum(r.other.valid for r in rows)}/{sum(r.other.requests for r in rows)}",
        f"{sum(r.identity.same for r in rows)}/{sum(r.identity.compared for r in rows)}",
        in_words(pool.verdict, pool.speedup),
    ]


def _evidence_cells(row: Row) -> list[str]:
    places = row.acceptance.per_position if row.acceptance else ()
    return [
        row.workload,
        f"{row.prompts} x {row.repeats}",
        _both(row, lambda arm: f"{arm.ttft:.1f}"),
        _both(row, lambda arm: f"{arm.e2e:.0f}"),
        _both(row, lambda arm: f"{arm.step_gap:.1f}"),
        _both(row, lambda arm: f"{arm.tokens_per_chunk:.2f}"),
        _both(row, lambda arm: f"{arm.tokens_per_s:.1f}"),
        _both(row, lambda arm: f"{arm.goodput:.2f}"),
        _both(row, lambda arm: f"{arm.exact}/{arm.requests}"),
        _both(row, lambda arm: str(arm.cut_off)),
        _both(row, lambda arm: str(arm.unusable)),
        _both(row, lambda arm: str(arm.merged_chunks)),
        _both(row, lambda arm: f"{arm.client_lag:.1f}"),
        " ".join(f"{share:.2f}" for share in places),
    ]


def _both(row: Row, show: Callable[[ArmFacts], str]) -> str:
    return f"{show(row.base)} → {show(row.other)}"


def levels_shown(result: Result, summary: Summary) -> list[int]:
    """Those that have a row, in the run's order."""
    found = {row.concurrency for row in summary.rows}
    return [level for level in result.settings.concurrency if level in found]

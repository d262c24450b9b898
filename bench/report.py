"""The printed table, and nothing that is not in the result."""

from collections.abc import Callable
from io import StringIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from bench.arm_facts import ArmFacts
from bench.notes import notes
from bench.record import Result
from bench.summary import STRUCTURED_ALL, Pool, Row, Summary
from bench.verdict import in_words
from bench.words import SAID, SHORT, ratio

# Wider than any row: rich cuts cells to fit, and a cut number is a wrong one.
WIDTH = 400


def render_report(result: Result, summary: Summary) -> str:
    sink = StringIO()
    console = Console(file=sink, width=WIDTH, color_system=None, highlight=False, markup=False)
    for concurrency in result.settings.concurrency:
        rows = [row for row in summary.rows if row.concurrency == concurrency]
        if rows:
            pool = next((one for one in summary.pools if one.concurrency == concurrency), None)
            console.print(
                f"\n{result.settings.level(concurrency)}: time per output token (TPOT), "
                f"{result.base} and {SAID[result.other]}"
            )
            console.print(_speed(rows, pool, SHORT[result.other]))
            console.print("the same runs: steps, first token, evidence")
            console.print(_evidence(rows))
    for line in notes(result, summary):
        console.print(line, soft_wrap=True)
    return "\n".join(line.rstrip() for line in sink.getvalue().splitlines()).strip("\n") + "\n"


def _speed(rows: list[Row], pool: Pool | None, other: str) -> Table:
    table = _table(
        "workload", "plain ms", f"{other} ms", "speedup [95 %]", "paired mean [95 %]",
        "accept. length", "valid plain", f"valid {other}", "identical", "verdict",
    )  # fmt: skip
    for row in (one for one in rows if one.structured):
        table.add_row(*_speed_cells(row))
    if pool is not None:
        table.add_section()
        table.add_row(*_pool_cells(pool, [row for row in rows if row.structured]))
    table.add_section()
    for row in (one for one in rows if not one.structured):
        table.add_row(*_speed_cells(row))
    return table


def _speed_cells(row: Row) -> list[str]:
    return [
        row.workload if row.structured else f"{row.workload} (control)",
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


def _pool_cells(pool: Pool, rows: list[Row]) -> list[str]:
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


def _evidence(rows: list[Row]) -> Table:
    table = _table(
        "workload", "prompts x repeats", "TTFT ms", "E2E ms", "step gap ms", "tokens/chunk",
        "tokens/s", "valid goodput/s", "exact", "cut off", "unusable", "merged", "client lag ms",
        "accepted at 1, 2, …",
    )  # fmt: skip
    for row in rows:
        places = row.acceptance.per_position if row.acceptance else ()
        table.add_row(
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
        )
    return table


def _both(row: Row, show: Callable[[ArmFacts], str]) -> str:
    return f"{show(row.base)} → {show(row.other)}"


def _table(*columns: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for index, name in enumerate(columns):
        table.add_column(name, justify="left" if index == 0 else "right", no_wrap=True)
    return table

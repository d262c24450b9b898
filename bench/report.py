"""The printed table, and nothing that is not in the result."""

from collections.abc import Callable, Iterator, Sequence
from io import StringIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from bench.busy import BUSY_SHARE, WATCH_S
from bench.record import Result, Settings
from bench.stats import CONFIDENCE, RESAMPLES, Estimate
from bench.summary import STRUCTURED_ALL, ArmFacts, Pool, Row, Summary

# Wider than any row: rich cuts cells to fit, and a cut number is a wrong one.
WIDTH = 400
# More than this and a line below the table says so.
MERGED_SHARE = 0.02
LAG_MS = 20.0


def render_report(result: Result, summary: Summary) -> str:
    sink = StringIO()
    console = Console(file=sink, width=WIDTH, color_system=None, highlight=False, markup=False)
    for concurrency in result.settings.concurrency:
        rows = [row for row in summary.rows if row.concurrency == concurrency]
        if rows:
            pool = next((one for one in summary.pools if one.concurrency == concurrency), None)
            console.print(
                f"\nconcurrency {concurrency}: time per output token (TPOT), plain and speculative"
            )
            console.print(_speed(rows, pool))
            console.print("the same runs: steps, first token, evidence")
            console.print(_evidence(rows))
    for line in _notes(result, summary):
        console.print(line, soft_wrap=True)
    return "\n".join(line.rstrip() for line in sink.getvalue().splitlines()).strip("\n") + "\n"


def _speed(rows: list[Row], pool: Pool | None) -> Table:
    table = _table(
        "workload", "plain ms", "spec. ms", "speedup [95 %]", "paired mean [95 %]",
        "accept. length", "valid plain", "valid spec.", "identical", "verdict",
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
        row.verdict,
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
        pool.verdict,
    ]


def _evidence(rows: list[Row]) -> Table:
    table = _table(
        "workload", "prompts x repeats", "TTFT ms", "step gap ms", "tokens/chunk", "exact",
        "cut off", "unusable", "merged", "client lag ms", "accepted at 1, 2, …",
    )  # fmt: skip
    for row in rows:
        places = row.acceptance.per_position if row.acceptance else ()
        table.add_row(
            row.workload,
            f"{row.prompts} x {row.repeats}",
            _both(row, lambda arm: f"{arm.ttft:.1f}"),
            _both(row, lambda arm: f"{arm.step_gap:.1f}"),
            _both(row, lambda arm: f"{arm.tokens_per_chunk:.2f}"),
            _both(row, lambda arm: f"{arm.exact}/{arm.requests}"),
            _both(row, lambda arm: str(arm.cut_off)),
            _both(row, lambda arm: str(arm.unusable)),
            _both(row, lambda arm: str(arm.merged_chunks)),
            _both(row, lambda arm: f"{arm.client_lag:.1f}"),
            " ".join(f"{share:.2f}" for share in places),
        )
    return table


def _held_up(rows: Sequence[Row]) -> Iterator[str]:
    """What did not come as it was made."""
    sides = [
        (f"{row.workload} at concurrency {row.concurrency}, {name}", arm)
        for row in rows
        for name, arm in (("plain", row.base), ("speculative", row.other))
    ]
    for where, arm in sides:
        if arm.merged_chunks > MERGED_SHARE * arm.chunks:
            yield (
                f"{where}: {arm.merged_chunks} of {arm.chunks} chunks came together with others: "
                "TTFT and step gap tell of what held them up, not of the engine's steps."
            )
    late = [(where, arm.client_lag) for where, arm in sides if arm.client_lag > LAG_MS]
    if late:
        where, worst = max(late, key=lambda one: one[1])
        yield (
            f"The bench itself stood still for more than {LAG_MS:g} ms at least once in "
            f"{len(late)} of {len(sides)} sides of a row and could stamp nothing, at worst for "
            f"{worst:.0f} ms ({where})."
        )


def _both(row: Row, show: Callable[[ArmFacts], str]) -> str:
    return f"{show(row.base)} → {show(row.other)}"


def early_end(result: Result) -> Iterator[str]:
    if result.stopped is not None:
        settings = result.settings
        planned = settings.per_cell * len(settings.workloads) * len(settings.concurrency)
        yield (
            f"PARTIAL: the run ended early, after {len(result.requests)} of {planned} requests: "
            f"{result.stopped.rstrip('.')}."
        )


def _notes(result: Result, summary: Summary) -> Iterator[str]:
    yield from early_end(result)
    for gap in summary.gaps:
        yield f"{gap.workload} at concurrency {gap.concurrency}: not shown, {gap.reason}."
    for row in summary.rows:
        for found in row.identity.divergences:
            kind = "a fault" if found.base_stable else "plain output itself varies here"
            yield (
                f"{row.workload} at concurrency {row.concurrency}: prompt {found.prompt} repeat "
                f"{found.repeat} differs first at token {found.position}: plain "
                f"{found.base_token}, speculative {found.other_token} ({kind})."
            )
    yield from _held_up(summary.rows)
    yield (
        "TPOT = (last − first chunk) / (tokens − tokens in the first read), median over requests. "
        "Speedup = ratio of medians, plain over speculative; paired mean = geometric mean of "
        f"per-prompt ratios. {CONFIDENCE:.0%} bootstrap over prompts, {RESAMPLES} resamples."
    )
    for pool in summary.pools:
        yield (
            f"{STRUCTURED_ALL}, concurrency {pool.concurrency}: speedup = geometric mean of the "
            f"{pool.workloads} workloads' speedups; total time from request to last "
            f"token, plain over speculative, {ratio(pool.total)}."
        )
    yield from origin(result)


def origin(result: Result) -> Iterator[str]:
    """Settings and provenance in words."""
    settings, source = result.settings, result.provenance
    pair = source.pair or {}
    named = (
        f"pair {pair['name']} ({(source.pair_sha256 or '')[:12]}), K = {pair['num_draft_tokens']}"
        if pair
        else "engines given by URL"
    )
    yield (
        f"{named}; {_sampling(result)}{', guided' if settings.guided else ''}, max_tokens "
        f"{settings.max_tokens}, seed {settings.seed}; blocks A B B A x {settings.rounds}; "
        f"{_warmup(settings)} excluded."
    )
    commit = (source.commit or "no commit")[:12] + (" with local changes" if source.dirty else "")
    packages = ", ".join(f"{name} {found}" for name, found in source.packages.items())
    yield (
        f"{source.date}; {commit}; {source.cpu}, {source.cores} cores of which others took "
        f"{source.others_cpu:.2f} before, {source.threads or '?'} threads; {packages}."
    )
    for model, files in source.weights.items():
        yield f"{model} weights: " + ", ".join(
            f"{name} sha256 {digest[:12]}" for name, digest in files.items()
        )
    if source.others_cpu > BUSY_SHARE * source.cores:
        yield (
            f"BUSY MACHINE: other processes took {source.others_cpu:.2f} of {source.cores} cores "
            f"in the {WATCH_S:g} s before the run; take no time from this table."
        )
    yield source.cost_ratio


def _sampling(result: Result) -> str:
    """`greedy`, with what is not."""
    hot = sorted({(one.workload, one.temperature) for one in result.prompts if one.temperature})
    return "greedy" + "".join(f", {name} at temperature {value:g}" for name, value in hot)


def _warmup(settings: Settings) -> str:
    if not settings.warmup:
        return "no warm-up requests"
    return (
        f"{settings.warmup} warm-up requests per arm and concurrency, or as many as the "
        "concurrency if that is more, and a full batch of them before each block,"
    )


def ratio(estimate: Estimate) -> str:
    return f"{estimate.value:.2f}x [{estimate.low:.2f}, {estimate.high:.2f}]"


def _table(*columns: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for index, name in enumerate(columns):
        table.add_column(name, justify="left" if index == 0 else "right", no_wrap=True)
    return table

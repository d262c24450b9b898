"""The lines below the table: what else must be known to read it."""

from collections.abc import Iterator, Sequence

from bench.busy import BUSY_SHARE, WATCH_S
from bench.identity import Divergence
from bench.record import Result, Settings
from bench.sample_size import CLAIM, LEAST, POWER, TELLING, prompts_for, spread
from bench.series import ALL
from bench.summary import STRUCTURED_ALL, Row, Summary
from bench.words import SAID, SHORT, ratio

# More than this and a line says so.
MERGED_SHARE = 0.02
LAG_MS = 20.0
HINT = 1.1


def notes(result: Result, summary: Summary) -> Iterator[str]:
    yield from early_end(result)
    for gap in summary.gaps:
        where = f"{gap.workload} at {result.settings.level(gap.concurrency)}"
        yield f"{where}: not shown, {gap.reason}."
    for row in summary.rows:
        where = f"{row.workload} at {result.settings.level(row.concurrency)}"
        for reason in row.limited:
            yield f"INVALID: {where}: the client was the limit; {reason}."
        for found in row.identity.divergences:
            yield f"{where}: {_difference(found, SAID[result.other])}."
        for found in row.control.divergences:
            yield f"{where}, control: {_difference(found, 'plain again')}."
        yield from _answers(where, row, SHORT[result.other])
        told = row.tpot.prompts >= TELLING
        if row.verdict == "not shown" and result.kind == "speedup" and told:
            needed = prompts_for(HINT, spread(row.tpot).log_sd)
            yield (
                f"{where}: about {needed} prompts would show {HINT:g}x with a chance of "
                f"{POWER:.0%} (`bench size`); a run that is continued until it shows something "
                "shows nothing."
            )
    if result.settings.prompts < LEAST:
        yield (
            f"A LOOK, NO CLAIM: {result.settings.prompts} prompts per workload say little of "
            f"others like them, however narrow the interval; {CLAIM} carry a claim."
        )
    yield from _counted(result, summary)
    yield from _held_up(result.settings, summary.rows, SAID[result.other])
    yield (
        f"TPOT = {ALL['tpot'].says}; medians over requests. Speedup = {ALL['speedup'].says}; "
        f"paired mean = {ALL['paired mean'].says}. Interval = {ALL['interval'].says}. Verdict = "
        f"{ALL['verdict'].says}. `bench explain` has every name."
    )
    if result.kind == "aa":
        yield (
            "Both sides are the plain engine: what is called speculative in a definition is its "
            "second half of the blocks here."
        )
    for pool in summary.pools:
        yield (
            f"{STRUCTURED_ALL}, {result.settings.level(pool.concurrency)}: speedup = geometric "
            f"mean of the {pool.workloads} workloads' speedups; total time from request to last "
            f"token, plain over {SAID[result.other]}, {ratio(pool.total)}."
        )
    yield from origin(result)


def early_end(result: Result) -> Iterator[str]:
    if result.stopped is not None:
        settings = result.settings
        yield (
            f"PARTIAL: the run ended early, after {len(result.requests)} of {settings.planned} "
            f"requests: {result.stopped.rstrip('.')}."
        )


def _held_up(settings: Settings, rows: Sequence[Row], other: str) -> Iterator[str]:
    """What did not come as it was made."""
    sides = [
        (f"{row.workload} at {settings.level(row.concurrency)}, {name}", arm)
        for row in rows
        for name, arm in (("plain", row.base), (other, row.other))
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


def _difference(found: Divergence, other: str) -> str:
    gap = "" if found.gap_nats is None else f", {found.gap_nats:+.4f} nats apart"
    kinds = {"tie": "a tie", "fault": "a fault", "varies": "plain output itself varies here"}
    return (
        f"prompt {found.prompt} repeat {found.repeat} differs first at token {found.position}: "
        f"plain {found.base_token}, {other} {found.other_token} ({kinds[found.kind]}{gap})"
    )


def _answers(where: str, row: Row, other: str) -> Iterator[str]:
    """Only where an answer is neither exact nor just other than expected."""
    sides = (("plain", row.base.answers), (other, row.other.answers))
    if all(set(found) <= {"exact", "inexact"} for _, found in sides):
        return
    told = "; ".join(
        f"{name} " + ", ".join(f"{count} {what}" for what, count in sorted(found.items()))
        for name, found in sides
    )
    yield f"{where}: answers {told}."


def _counted(result: Result, summary: Summary) -> Iterator[str]:
    refuted = [row for row in summary.rows if row.counted.refuted]
    if refuted:
        first = refuted[0]
        yield (
            f"Server counters not used for {len(refuted)} of {len(summary.rows)} rows, first "
            f"{first.workload} at {result.settings.level(first.concurrency)}: "
            f"{first.counted.refuted}."
        )
    proved = [row for row in summary.rows if not row.counted.refuted]
    lengths = [
        f"{row.workload} {row.counted.acceptance.length:.2f}"
        for row in proved
        if row.counted.acceptance
    ]
    if proved:
        told = f"; acceptance length by them: {', '.join(lengths)}" if lengths else ""
        yield (
            f"Server counters grew by exactly our own requests in all "
            f"{sum(row.counted.blocks for row in proved)} blocks of {len(proved)} rows, so nobody "
            f"else was served{told}."
        )


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
        f"{settings.max_tokens}, seed {settings.seed}; blocks A B B A x "
        f"{settings.rounds}, their number fixed before the first; "
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

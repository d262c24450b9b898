"""The page of one result: verdict, tables, pictures, and all that is needed to doubt it."""

from collections.abc import Iterator

from bench.identity import Identity
from bench.notes import notes
from bench.pages.document import Block, Document, Section, Text, Tone
from bench.pages.sources import definitions, provenance
from bench.plots.distributions import tpot_distributions
from bench.plots.positions import acceptance_by_position
from bench.plots.speedups import speedups
from bench.plots.timeline import step_gap_timeline
from bench.record import Result
from bench.summary import STRUCTURED_ALL, Pool, Row, Summary
from bench.tables import Grid, evidence_grid, levels_shown, named, speed_grid
from bench.verdict import Verdict, in_words
from bench.words import SAID, SHORT, ratio

TONES: dict[Verdict, Tone] = {"faster": "good", "not shown": "open"}
KINDS = {"speedup": "with and without speculation", "aa": "the plain engine against itself"}


def result_page(result: Result, summary: Summary) -> Document:
    """Of a speedup or an A/A result."""
    pair = (result.provenance.pair or {}).get("name", "engines given by URL")
    sections = [Section("Verdict", tuple(_verdicts(result, summary)))]
    if summary.rows:
        sections += [
            Section("Time per output token", tuple(_speed(result, summary))),
            Section("Losslessness and validity", tuple(_lossless(result, summary))),
            Section("Pictures", tuple(_pictures(result, summary))),
            Section("Steps, first token, evidence", tuple(_evidence(result, summary))),
        ]
    sections += [
        Section("Notes", (Text(tuple(notes(result, summary))),)),
        Section("Provenance", (provenance(result),), folded=True),
        Section("Definitions", (definitions(),), folded=True),
    ]
    return Document(f"bench: {pair}, {KINDS[result.kind]}", sections)


def _verdicts(result: Result, summary: Summary) -> Iterator[Text]:
    """The worst first: what makes the rest worth nothing."""
    if result.stopped is not None:
        yield Text((f"PARTIAL: the run ended early: {result.stopped}",), "bad")
    if summary.invalid:
        places = "; ".join(f"{_where(result, row)}, {row.limited[0]}" for row in summary.invalid)
        yield Text((f"INVALID: the bench itself was the limit: {places}.",), "bad")
    if summary.faults:
        places = ", ".join(_where(result, row) for row in summary.faults)
        yield Text((f"NOT LOSSLESS: output is not the plain output on {places}.",), "bad")
    if result.kind == "aa" and summary.rows:
        yield _false_alarms(summary)
    for gap in summary.gaps:
        where = f"{gap.workload} at {result.settings.level(gap.concurrency)}"
        yield Text((f"{where} is not shown: {gap.reason}.",), "bad")
    for level in levels_shown(result, summary):
        yield from _in_short(result, summary, level)


def _false_alarms(summary: Summary) -> Text:
    called = sum(row.verdict in ("faster", "slower") for row in summary.rows)
    told = (
        f"{called} of {len(summary.rows)} rows call the plain engine different from itself. There "
        "is no difference to find: faster or slower is a false alarm here, which a sound "
        "instrument gives in one row of twenty."
    )
    return Text((told,), "bad" if called else "good")


def _where(result: Result, row: Row) -> str:
    return f"{row.workload} at {result.settings.level(row.concurrency)}"


def _in_short(result: Result, summary: Summary, level: int) -> Iterator[Text]:
    rows = [row for row in summary.rows if row.concurrency == level]
    pools = [one for one in summary.pools if one.concurrency == level]
    shown: list[tuple[str, Row | Pool]] = [
        (f"{STRUCTURED_ALL} {pool.workloads} workloads", pool) for pool in pools
    ]
    shown += [(named(row), row) for row in rows if not pools or not row.structured]
    for name, one in shown:
        found = f"{in_words(one.verdict, one.speedup)}, {ratio(one.speedup)}"
        yield Text(
            (f"{name} at {result.settings.level(level)}: {found}.",), TONES.get(one.verdict, "bad")
        )


def _speed(result: Result, summary: Summary) -> Iterator[Block]:
    for level in levels_shown(result, summary):
        yield Text((f"At {result.settings.level(level)}:",))
        yield speed_grid(result, summary, level)
    yield Text((result.provenance.cost_ratio,))


def _lossless(result: Result, summary: Summary) -> Iterator[Block]:
    other = SHORT[result.other]
    yield Grid(
        ("workload", "load", "identical", "tie", "fault", "plain varies", "control identical",
         "valid plain", f"valid {other}", "exact plain", f"exact {other}"),
        ([_lossless_cells(result, row) for row in summary.rows],),
    )  # fmt: skip
    yield Text(
        (
            "Identical: greedy answers that are the plain engine's, token for token. A first "
            "difference is a tie where the plain engine rates both tokens alike, else a fault. The "
            "control sets the plain engine against itself.",
        )
    )


def _lossless_cells(result: Result, row: Row) -> list[str]:
    found = row.identity
    told = (
        ["sampled", "", "", "", ""]
        if row.sampled
        else [
            _same(found),
            *(str(found.of_kind(kind)) for kind in ("tie", "fault", "varies")),
            _same(row.control),
        ]
    )
    return [
        named(row),
        result.settings.level(row.concurrency),
        *told,
        *(f"{arm.valid}/{arm.requests}" for arm in (row.base, row.other)),
        *(f"{arm.exact}/{arm.requests}" for arm in (row.base, row.other)),
    ]


def _same(found: Identity) -> str:
    return f"{found.same}/{found.compared}"


def _pictures(result: Result, summary: Summary) -> Iterator[Block]:
    drawn = (
        speedups(result, summary),
        tpot_distributions(result, summary),
        acceptance_by_position(result, summary),
        step_gap_timeline(result, summary),
    )
    yield from (picture for picture in drawn if picture is not None)


def _evidence(result: Result, summary: Summary) -> Iterator[Block]:
    for level in levels_shown(result, summary):
        yield Text((f"At {result.settings.level(level)}, plain → {SAID[result.other]}:",))
        yield evidence_grid(summary, level)

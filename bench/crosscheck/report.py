"""The table that a reader can reconcile, and the same as JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from io import StringIO
from itertools import groupby
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from bench.busy import BUSY_SHARE
from bench.crosscheck.judge import RULE
from bench.crosscheck.rows import BENCH, Row
from bench.crosscheck.run import CrossCheck

WIDTH = 110
SCHEMA = 1


def render(found: CrossCheck, rows: Sequence[Row]) -> str:
    sink = StringIO()
    console = Console(file=sink, width=WIDTH, color_system=None, highlight=False, markup=False)
    settings, source = found.settings, found.source
    console.print(
        f"Pair {(source.pair or {}).get('name')}, speculative engine {source.engines[0].version}: "
        f"{found.prompts} prompts ({', '.join(settings.workloads)}), {settings.max_tokens} tokens "
        f"at most, temperature 0, concurrency 1, {settings.rounds} rounds."
    )
    for program, group in groupby(rows, key=lambda row: row.program):
        console.print(_table(program, list(group)))
        for one in found.programs:
            if one.name == program:
                for series in one.series:
                    console.print(f"{series.name}: {series.why}.")
    agreeing = sum(row.verdict == "agrees" for row in rows if row.program != BENCH)
    total = sum(row.program != BENCH for row in rows)
    console.print(f"\n{agreeing} of {total} printed figures agree.")
    console.print(RULE)
    if any(row.same is False for row in rows):
        console.print("A program did not get the tokens that we got: its times are of other work.")
    if source.others_cpu > BUSY_SHARE * source.cores:
        console.print(
            f"Other processes took {source.others_cpu:.2f} of {source.cores} cores before the "
            "first request: the machine was not quiet."
        )
    console.print(source.cost_ratio)
    commit = (source.commit or "no commit")[:12] + (" with local changes" if source.dirty else "")
    console.print(f"{source.date}; {commit}; {source.cpu}, {source.cores} cores.")
    return "\n".join(line.rstrip() for line in sink.getvalue().splitlines()).strip("\n") + "\n"


def _table(program: str, rows: Sequence[Row]) -> Table:
    again = program == BENCH
    table = Table(box=SIMPLE_HEAD, pad_edge=False, title=program, title_justify="left")
    names = ["last block", "first block"] if again else ["printed", "ours, its definition"]
    table.add_column("ms unless said")
    for name in (*names, "ratio [95 %]", "verdict", "" if again else "ours, our definition"):
        table.add_column(name, justify="left" if name == "verdict" else "right", no_wrap=True)
    for row in rows:
        told = f"{row.ratio.value:.3f} [{row.ratio.low:.3f}, {row.ratio.high:.3f}]"
        own = "" if row.own is None else f"{row.own_name} {row.own:.2f}"
        table.add_row(row.figure, f"{row.theirs:.2f}", f"{row.ours:.2f}", told, row.verdict, own)
    return table


def document(found: CrossCheck, rows: Sequence[Row]) -> dict[str, Any]:
    """Every round's figures and our raw events beside the rows."""
    return {
        "kind": "crosscheck",
        "schema_version": SCHEMA,
        "rule": RULE,
        "rows": [
            {**asdict(row), "ratio": asdict(row.ratio), "verdict": row.verdict} for row in rows
        ],
        "why": {
            one.name: {series.name: series.why for series in one.series} for one in found.programs
        },
        "rounds": [
            {
                "printed": {name: dict(told) for name, told in one.printed.items()},
                **{
                    place: [
                        {"started_ns": sent.started_ns, "reply": sent.reply.model_dump(mode="json")}
                        for sent in block
                    ]
                    for place, block in (("first", one.first), ("last", one.last))
                },
            }
            for one in found.rounds
        ],
        "settings": found.settings.model_dump(mode="json"),
        "provenance": found.source.model_dump(mode="json"),
    }

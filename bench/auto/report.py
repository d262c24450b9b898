"""The replay's tables, and the same as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from io import StringIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from bench.auto.outcome import LEARNT_AFTER, Outcome
from bench.auto.timings import Timings
from bench.report import WIDTH
from bench.stats import Estimate


def render_outcomes(timings: Timings, outcomes: Sequence[Outcome]) -> str:
    sink = StringIO()
    console = Console(file=sink, width=WIDTH, color_system=None, highlight=False, markup=False)
    for outcome in outcomes:
        console.print(f"\n{title(outcome)}: ms per token, from request to last token")
        console.print(_strategies(outcome))
        console.print("the later half, by workload")
        console.print(_workloads(outcome))
    for line in _notes(timings, outcomes[0]):
        console.print(line, soft_wrap=True)
    return "\n".join(line.rstrip() for line in sink.getvalue().splitlines()).strip("\n") + "\n"


def outcomes_json(timings: Timings, outcomes: Sequence[Outcome]) -> str:
    found = {
        "provenance": timings.provenance,
        "replays": [asdict(outcome) for outcome in outcomes],
    }
    return json.dumps(found, ensure_ascii=False)


def title(outcome: Outcome) -> str:
    levels = " and ".join(str(level) for level in outcome.mix.levels)
    turns = f" in turns of {outcome.mix.turn}" if len(outcome.mix.levels) > 1 else ""
    keys = ", one API key for all" if outcome.mix.one_key else ""
    return f"concurrency {levels}{turns}{keys}"


def _strategies(outcome: Outcome) -> Table:
    table = _table("strategy", "whole stream", "over the oracle", "later half", "over the oracle")
    for row in outcome.rows:
        table.add_row(
            row.strategy,
            _estimate(row.whole, 1),
            _estimate(row.over_oracle, 3),
            _estimate(row.learnt, 1),
            _estimate(row.learnt_over_oracle, 3),
        )
    return table


def _workloads(outcome: Outcome) -> Table:
    table = _table(
        "workload", "plain", "speculative", "auto",
        "auto / plain [95 %]", "on speculative", "explored",
    )  # fmt: skip
    for row in outcome.workloads:
        table.add_row(
            row.workload if row.structured else f"{row.workload} (open)",
            f"{row.plain:.1f}",
            f"{row.speculative:.1f}",
            f"{row.auto:.1f}",
            _estimate(row.auto_over_plain, 3),
            f"{row.speculative_share:.1%}",
            f"{row.explored_share:.1%}",
        )
    return table


def _table(*columns: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    return table


def _estimate(estimate: Estimate, digits: int) -> str:
    low, high = f"{estimate.low:.{digits}f}", f"{estimate.high:.{digits}f}"
    return f"{estimate.value:.{digits}f} [{low}, {high}]"


def _notes(timings: Timings, outcome: Outcome) -> Iterator[str]:
    mix = outcome.mix
    yield (
        f"{outcome.streams} streams of {mix.requests} requests, {mix.open_share:.0%} of them "
        f"open-ended, drawn from {len(timings.prompts)} prompts that were measured on both "
        "engines. The policy knows nothing when a stream begins; its later part is the last "
        f"{1 - LEARNT_AFTER:.0%}. In brackets where 95 % of the streams lie; of auto / plain the "
        "95 % bootstrap interval over streams."
    )
    yield (
        "The oracle by class sends each traffic class to the pool that the whole recording says "
        "is faster, the oracle by prompt each prompt. At a concurrency, both pools are as busy."
    )
    source = timings.provenance
    yield f"Recorded {source['date']}, commit {source['commit']}, {source['cpu']}."
    yield str(source["cost_ratio"])

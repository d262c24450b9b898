"""The replay's tables, and the same as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from io import StringIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from bench.auto.outcome import LEARNT_AFTER, Outcome
from bench.auto.timings import Timings
from bench.report import WIDTH
from bench.stats import Estimate
from bench.strict_json import dumps


def render(parts: Iterable[str | Table]) -> str:
    sink = StringIO()
    console = Console(file=sink, width=WIDTH, color_system=None, highlight=False, markup=False)
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, str))
    return "\n".join(line.rstrip() for line in sink.getvalue().splitlines()).strip("\n") + "\n"


def render_outcomes(timings: Timings, outcomes: Sequence[Outcome]) -> str:
    return render(_parts(timings, outcomes))


def _parts(timings: Timings, outcomes: Sequence[Outcome]) -> Iterator[str | Table]:
    for outcome in outcomes:
        yield f"\n{title(outcome)}: ms per token, from request to last token"
        yield _strategies(outcome)
        yield "the later half, by workload"
        yield _workloads(outcome)
    yield from _notes(timings, outcomes[0])


def outcomes_json(timings: Timings, outcomes: Sequence[Outcome]) -> str:
    found = {
        "provenance": timings.provenance,
        "replays": [asdict(outcome) for outcome in outcomes],
    }
    return dumps(found)


def title(outcome: Outcome) -> str:
    levels = " and ".join(str(level) for level in outcome.mix.levels)
    turns = f" in turns of {outcome.mix.turn}" if len(outcome.mix.levels) > 1 else ""
    keys = ", one API key for all" if outcome.mix.one_key else ""
    return f"concurrency {levels}{turns}{keys}"


def _strategies(outcome: Outcome) -> Table:
    found = table("strategy", "whole stream", "over the oracle", "later half", "over the oracle")
    for row in outcome.rows:
        found.add_row(
            row.strategy,
            estimate(row.whole, 1),
            estimate(row.over_oracle, 3),
            estimate(row.learnt, 1),
            estimate(row.learnt_over_oracle, 3),
        )
    return found


def _workloads(outcome: Outcome) -> Table:
    found = table(
        "workload", "plain", "speculative", "auto",
        "auto / plain [95 %]", "on speculative", "explored",
    )  # fmt: skip
    for row in outcome.workloads:
        found.add_row(
            row.workload if row.structured else f"{row.workload} (open)",
            f"{row.plain:.1f}",
            f"{row.speculative:.1f}",
            f"{row.auto:.1f}",
            estimate(row.auto_over_plain, 3),
            f"{row.speculative_share:.1%}",
            f"{row.explored_share:.1%}",
        )
    return found


def table(*columns: str) -> Table:
    found = Table(box=SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(columns):
        found.add_column(column, justify="right" if number else "left")
    return found


def estimate(estimate: Estimate, digits: int) -> str:
    """Without an interval where there is none."""
    if math.isnan(estimate.low):
        return f"{estimate.value:.{digits}f}"
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

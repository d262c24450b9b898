"""Two results of the same prompts against each other, prompt by prompt."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from bench import timing
from bench.arm_facts import usable
from bench.record import Result
from bench.side import Side
from bench.stats import MIN_PROMPTS, Estimate, Floats, Paired, pooled_gain, pooled_speedup
from bench.summary import STRUCTURED_ALL, Row, Summary
from bench.tables import named
from bench.verdict import Verdict, verdict

Key = tuple[str, str]
"""Workload and level in words."""


@dataclass(frozen=True)
class Compared:
    """Ratios of times per token, first over second: above 1, the second is faster."""

    workload: str
    structured: bool
    level: str
    prompts: int
    """That both results have, on both sides."""
    plain: Estimate
    """Of the engines without speculation: what else changed between the runs."""
    speculative: Estimate
    whole: Estimate
    """Of the speculative answers' whole time, request to last token: TTFT and chunks are in it."""
    gain: Estimate
    """Second speedup over the first: a factor that both engines of a run share is not in it."""
    verdict: Verdict
    """Of `gain`."""
    acceptance: tuple[float, float] | None
    """Acceptance lengths; `None` where several workloads are together."""
    same_answers: int | None
    """Prompts to which all answers of both results are the same tokens; `None`: not greedy."""


@dataclass(frozen=True)
class Match:
    """One workload at one level in both results, with the times of the prompts that both have."""

    rows: tuple[Row, Row]
    before: Paired
    after: Paired
    whole: Paired
    """The speculative whole times: the first's as base, the second's as other."""
    prompts: tuple[tuple[int, int], ...]
    """Their numbers in the first and in the second."""


@dataclass(frozen=True)
class Comparison:
    rows: tuple[Compared, ...]
    missing: tuple[str, ...]
    """What could not be compared, and why."""


def compare_results(
    results: tuple[Result, Result], summaries: tuple[Summary, Summary]
) -> Comparison:
    before, after = (
        {(row.workload, result.settings.level(row.concurrency)): row for row in summary.rows}
        for result, summary in zip(results, summaries, strict=True)
    )
    missing = [
        *(f"{_where(key)} is only in the first" for key in before if key not in after),
        *(f"{_where(key)} is only in the second" for key in after if key not in before),
    ]
    found: list[tuple[Key, Match]] = []
    for key in (key for key in before if key in after):
        match = _match(results, (before[key], after[key]))
        if len(match.prompts) < MIN_PROMPTS:
            missing.append(f"{_where(key)}: {len(match.prompts)} prompts are the same in both")
        else:
            found.append((key, match))
    rows = [
        row
        for level, group in groupby(found, key=lambda one: one[0][1])
        for row in _level(results, level, [match for _, match in group])
    ]
    return Comparison(tuple(rows), tuple(missing))


def _where(key: Key) -> str:
    return f"{key[0]} at {key[1]}"


def _match(results: tuple[Result, Result], rows: tuple[Row, Row]) -> Match:
    """By the prompts' tokens, whatever their numbers."""
    mine, others = (
        {one.token_ids: one.index for one in result.prompts if one.workload == rows[0].workload}
        for result in results
    )
    before, after = (_times(result, row) for result, row in zip(results, rows, strict=True))
    shared = tuple(
        (index, others[tokens])
        for tokens, index in mine.items()
        if tokens in others and _timed(before, index) and _timed(after, others[tokens])
    )
    first, second = [one for one, _ in shared], [two for _, two in shared]
    return Match(
        rows,
        Paired(before.base[first], before.other[first]),
        Paired(after.base[second], after.other[second]),
        Paired(_whole(results[0], rows[0])[first], _whole(results[1], rows[1])[second]),
        shared,
    )


def _times(result: Result, row: Row) -> Paired:
    """By prompt and repeat, with gaps; a request without its partner is a gap too."""
    cell = result.cell(row.workload, row.concurrency)
    shape = (result.settings.prompts, 2 * result.settings.rounds)
    base, other = (
        Side.of(result, cell, arm).array(shape, timing.tpot_ms)
        for arm in (result.base, result.other)
    )
    gap = np.isnan(base) | np.isnan(other)
    return Paired(np.where(gap, np.nan, base), np.where(gap, np.nan, other))


def _whole(result: Result, row: Row) -> Floats:
    """Whole times of the other arm by prompt and repeat, with gaps."""
    cell = result.cell(row.workload, row.concurrency)
    shape = (result.settings.prompts, 2 * result.settings.rounds)
    return Side.of(result, cell, result.other).array(shape, timing.total_ms)


def _timed(times: Paired, prompt: int) -> bool:
    return not bool(np.isnan(times.base[prompt]).all())


def _level(
    results: tuple[Result, Result], level: str, matches: Sequence[Match]
) -> Iterator[Compared]:
    """Each workload, and all structured ones together where there are several."""
    seed = results[0].settings.seed
    for one in matches:
        row, other = one.rows
        lengths = (row.acceptance, other.acceptance)
        yield Compared(
            workload=named(row),
            level=level,
            acceptance=None
            if lengths[0] is None or lengths[1] is None
            else (lengths[0].length, lengths[1].length),
            same_answers=None if row.sampled or other.sampled else _same(results, one),
            **_ratios([one], seed),
        )
    structured = [one for one in matches if one.rows[0].structured]
    if len(structured) > 1:
        yield Compared(
            workload=STRUCTURED_ALL,
            level=level,
            acceptance=None,
            same_answers=None,
            **_ratios(structured, seed),
        )


def _ratios(matches: Sequence[Match], seed: int) -> dict[str, Any]:
    """The fields that are figures over one match or several."""
    plain = [Paired(one.before.base, one.after.base) for one in matches]
    speculative = [Paired(one.before.other, one.after.other) for one in matches]
    gain = pooled_gain([(one.before, one.after) for one in matches], seed)
    limited = any(row.limited for one in matches for row in one.rows)
    return {
        "structured": all(one.rows[0].structured for one in matches),
        "prompts": sum(len(one.prompts) for one in matches),
        "plain": pooled_speedup(plain, seed),
        "speculative": pooled_speedup(speculative, seed),
        "whole": pooled_speedup([one.whole for one in matches], seed),
        "gain": gain,
        "verdict": "invalid" if limited else verdict(gain),
    }


def _same(results: tuple[Result, Result], match: Match) -> int:
    spoken = [_answers(result, row) for result, row in zip(results, match.rows, strict=True)]
    return sum(
        len(spoken[0].get(one, set()) | spoken[1].get(two, set())) == 1
        for one, two in match.prompts
    )


def _answers(result: Result, row: Row) -> dict[int, set[tuple[int, ...]]]:
    found: dict[int, set[tuple[int, ...]]] = {}
    for one in usable(result.cell(row.workload, row.concurrency)):
        found.setdefault(one.prompt, set()).add(one.reply.token_ids)
    return found

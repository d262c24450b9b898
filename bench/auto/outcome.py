"""What each strategy came to over many streams, every strategy on the same ones."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from bench.auto.pace import pace, pace_ratio, sums
from bench.auto.replay import (
    Always,
    Auto,
    Mix,
    Served,
    Spent,
    Strategy,
    class_of,
    oracle,
    prompt_of,
)
from bench.auto.timings import Timings
from bench.stats import CONFIDENCE, Estimate, Floats

LEARNT_AFTER = 0.5
"""Share of a stream after which its classes count as learnt."""
STRATEGIES = ("all plain", "all speculative", "oracle by class", "oracle by prompt", "auto")
SHARE_POINTS = 30


@dataclass(frozen=True)
class Row:
    """Over whole streams and over their later part: ms per token, from request to last token."""

    strategy: str
    whole: Estimate
    learnt: Estimate
    over_oracle: Estimate
    """`whole` over that of the oracle by class, stream by stream."""
    learnt_over_oracle: Estimate


@dataclass(frozen=True)
class WorkloadRow:
    """Of the later part of all streams together."""

    workload: str
    structured: bool
    plain: float
    speculative: float
    auto: float
    """Milliseconds per token."""
    auto_over_plain: Estimate
    speculative_share: float
    explored_share: float


@dataclass(frozen=True)
class Outcome:
    mix: Mix
    streams: int
    rows: tuple[Row, ...]
    workloads: tuple[WorkloadRow, ...]
    shares: Mapping[str, tuple[float, ...]]
    """Of each workload's requests, those on the speculative pool, by stretch of the stream."""


@dataclass
class _Tally:
    """Per strategy and stream, and of the later part per strategy, workload and stream."""

    whole: dict[str, list[float]] = field(default_factory=dict)
    learnt: dict[str, list[float]] = field(default_factory=dict)
    by_workload: dict[tuple[str, str], list[Spent]] = field(default_factory=dict)
    auto: list[list[Served]] = field(default_factory=list)

    def add(self, strategy: str, served: Sequence[Served]) -> None:
        later = served[_learnt_from(served) :]
        self.whole.setdefault(strategy, []).append(_total(served).ms_per_token)
        self.learnt.setdefault(strategy, []).append(_total(later).ms_per_token)
        spent: dict[str, Spent] = {}
        for one in later:
            spent.setdefault(one.drawn.asked.workload, Spent()).add(one.time)
        for workload, total in spent.items():
            self.by_workload.setdefault((strategy, workload), []).append(total)


def replay(
    timings: Timings, mix: Mix, streams: int, seed: int, tick: Callable[[], None] = lambda: None
) -> Outcome:
    tally = _Tally()
    fixed: dict[str, Strategy] = {
        "all plain": Always("plain"),
        "all speculative": Always("speculative"),
        "oracle by class": oracle(timings, mix, class_of),
        "oracle by prompt": oracle(timings, mix, prompt_of),
    }
    for number in range(streams):
        stream = mix.stream(timings, random.Random(f"stream:{seed}:{number}"))
        for name, strategy in fixed.items():
            tally.add(name, strategy.serve(stream))
        chosen = Auto(f"auto:{seed}:{number}").serve(stream)
        tally.add("auto", chosen)
        tally.auto.append(chosen)
        tick()
    return Outcome(
        mix=mix,
        streams=streams,
        rows=tuple(_row(tally, name) for name in STRATEGIES),
        workloads=tuple(_workload_rows(tally, seed)),
        shares=_shares(tally.auto),
    )


def _row(tally: _Tally, strategy: str) -> Row:
    whole, learnt = np.array(tally.whole[strategy]), np.array(tally.learnt[strategy])
    best = "oracle by class"
    return Row(
        strategy=strategy,
        whole=_of_streams(whole),
        learnt=_of_streams(learnt),
        over_oracle=_of_streams(whole / np.array(tally.whole[best])),
        learnt_over_oracle=_of_streams(learnt / np.array(tally.learnt[best])),
    )


def _of_streams(values: Floats) -> Estimate:
    """The mean, and where 95 % of the streams lie."""
    outside = (1 - CONFIDENCE) / 2
    low, high = np.quantile(values, [outside, 1 - outside])
    return Estimate(float(values.mean()), float(low), float(high))


def _workload_rows(tally: _Tally, seed: int) -> Iterator[WorkloadRow]:
    later = [one for served in tally.auto for one in served[_learnt_from(served) :]]
    for workload in sorted({one.drawn.asked.workload for one in later}):
        mine = [one for one in later if one.drawn.asked.workload == workload]
        spent = {name: tally.by_workload[name, workload] for name in STRATEGIES}
        plain, speculative, auto = (
            sums((one.ms, one.tokens) for one in spent[name])
            for name in ("all plain", "all speculative", "auto")
        )
        yield WorkloadRow(
            workload=workload,
            structured=mine[0].drawn.asked.structured,
            plain=pace(plain),
            speculative=pace(speculative),
            auto=pace(auto),
            auto_over_plain=pace_ratio(auto, plain, seed),
            speculative_share=_share(mine, lambda one: one.pool == "speculative"),
            explored_share=_share(mine, lambda one: one.explored),
        )


def _share(served: Sequence[Served], is_one: Callable[[Served], bool]) -> float:
    return sum(map(is_one, served)) / len(served)


def _total(served: Iterable[Served]) -> Spent:
    total = Spent()
    for one in served:
        total.add(one.time)
    return total


def _learnt_from(served: Sequence[Served]) -> int:
    return round(len(served) * LEARNT_AFTER)


def _shares(streams: Sequence[Sequence[Served]]) -> dict[str, tuple[float, ...]]:
    found: dict[str, list[list[bool]]] = {}
    for served in streams:
        for number, one in enumerate(served):
            stretches = found.setdefault(
                one.drawn.asked.workload, [[] for _ in range(SHARE_POINTS)]
            )
            stretches[number * SHARE_POINTS // len(served)].append(one.pool == "speculative")
    return {
        workload: tuple(sum(seen) / len(seen) if seen else math.nan for seen in stretches)
        for workload, stretches in sorted(found.items())
    }

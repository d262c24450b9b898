"""What a live run came to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from bench.auto.live import MODES, Heard, Live, Mode
from bench.auto.pace import pace, pace_ratio, sums
from bench.auto.report import estimate, render, table
from bench.stats import Estimate

EVERYTHING = "all"


@dataclass(frozen=True)
class LiveRow:
    """Of the compared requests of a workload: ms per token, from request to last token."""

    workload: str
    requests: int
    auto: float
    on: float
    off: float
    auto_over_on: Estimate
    auto_over_off: Estimate
    speculative_share: float
    """Of those in `auto`."""


def live_rows(live: Live) -> list[LiveRow]:
    compared = [one for one in live.heard if not one.learning]
    if not compared:
        return []
    names = sorted({one.workload for one in compared})
    parts = [(name, [one for one in compared if one.workload == name]) for name in names]
    return [
        _row(name, heard, live.settings.seed) for name, heard in [(EVERYTHING, compared), *parts]
    ]


def _row(workload: str, heard: Sequence[Heard], seed: int) -> LiveRow:
    by_mode: dict[Mode, list[Heard]] = {
        mode: sorted((one for one in heard if one.mode == mode), key=lambda one: one.number)
        for mode in MODES
    }
    auto, on, off = (
        sums((one.total_ms, one.tokens) for one in by_mode[mode]) for mode in ("auto", "on", "off")
    )
    return LiveRow(
        workload=workload,
        requests=len(auto),
        auto=pace(auto),
        on=pace(on),
        off=pace(off),
        auto_over_on=pace_ratio(auto, on, seed),
        auto_over_off=pace_ratio(auto, off, seed),
        speculative_share=_share(by_mode["auto"]),
    )


def _share(heard: Sequence[Heard]) -> float:
    return sum(one.pool == "speculative" for one in heard) / len(heard)


def render_live(live: Live) -> str:
    return render(_lines(live, live_rows(live)))


def live_json(live: Live) -> dict[str, Any]:
    return live.model_dump(mode="json") | {"rows": [asdict(row) for row in live_rows(live)]}


def _lines(live: Live, rows: Sequence[LiveRow]) -> Iterator[str | Table]:
    yield "each request in auto, on and off: ms per token, from request to last token"
    found = table("workload", "requests", "auto", "on", "off", "auto / on [95 %]", "auto / off [95 %]", "auto on speculative")  # fmt: skip  # noqa: E501
    for row in rows:
        found.add_row(
            row.workload,
            str(row.requests),
            f"{row.auto:.1f}",
            f"{row.on:.1f}",
            f"{row.off:.1f}",
            estimate(row.auto_over_on, 3),
            estimate(row.auto_over_off, 3),
            f"{row.speculative_share:.0%}",
        )
    yield found
    settings, source = live.settings, live.provenance
    yield (
        f"After {settings.learn} requests in auto, from which the gateway learnt, "
        f"{settings.requests} others, each in all three modes, one at a time, in a drawn order; "
        f"{settings.open_share:.0%} of them open-ended. Answers in on and off teach it as well. "
        "Intervals: bootstrap over requests."
    )
    yield (
        f"{source.date}, commit {source.commit}, {source.cpu}; {source.others_cpu:.2f} CPUs taken "
        "by other processes just before."
    )
    yield source.cost_ratio

"""Budgets that burn: two windows each, so that a burst alone wakes nobody and an end is noticed.

Factors and windows: Google's SRE workbook, chapter 5, for a budget of 30 days.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from deploy.monitoring.names import BROKEN_OFF, REFUSED, specserve
from deploy.monitoring.objectives import Objectives
from deploy.monitoring.promql import rate
from deploy.monitoring.rules import Alert

MIN_REQUESTS = 20
"""In the long window: of fewer, one that is slow would be a fifth of them."""
FAILURES_ALLOWED = 0.001


@dataclass(frozen=True)
class Pace:
    suffix: str
    factor: float
    long: str
    short: str
    for_: str
    severity: Literal["page", "ticket"]
    gone: str


FAST = Pace("", 14.4, "1h", "5m", "2m", "page", "two days")
SLOW = Pace("Slowly", 6.0, "6h", "30m", "15m", "ticket", "five days")

Misses = Callable[[str], str]
"""The share of requests that missed, over a window."""


def latency(objectives: Objectives) -> tuple[Alert, ...]:
    ttft = slower(specserve("time_to_first_token_seconds"), objectives.ttft_bucket)
    tpot = slower(specserve("time_per_output_token_seconds"), objectives.tpot_bucket)
    told = f"{objectives.budget * 100:g} %"
    return tuple(
        _burn(name, what, misses, objectives.budget, counted, pace, told)
        for name, what, misses, counted in (
            (
                "Ttft",
                f"the first token within {objectives.ttft_s:g} s",
                ttft,
                "time_to_first_token_seconds_count",
            ),
            (
                "Tpot",
                f"{objectives.tpot_s * 1000:g} ms per output token",
                tpot,
                "time_per_output_token_seconds_count",
            ),
        )
        for pace in (FAST, SLOW)
    )


def errors() -> Alert:
    def failed(window: str) -> str:
        requests = specserve("requests_total")
        bad = rate(requests, where=REFUSED, window=window)
        broken = rate(requests, where=BROKEN_OFF, window=window)
        return f"(({bad} or vector(0)) + ({broken} or vector(0))) / {rate(requests, window=window)}"

    return _burn(
        "Error",
        "an answer that is not our failure",
        failed,
        FAILURES_ALLOWED,
        "requests_total",
        FAST,
        "0.1 %",
    )


def slower(histogram: str, bucket: str) -> Misses:
    def share(window: str) -> str:
        kept = rate(f"{histogram}_bucket", where=f'le="{bucket}"', window=window)
        return f"1 - {kept} / {rate(f'{histogram}_count', window=window)}"

    return share


def _burn(
    name: str, what: str, misses: Misses, budget: float, counted: str, pace: Pace, told: str
) -> Alert:
    limit = f"{pace.factor * budget:.6g}"
    asked = f"sum(increase(specserve_{counted}[{pace.long}]))"
    expr = (
        f"({misses(pace.long)}) > {limit} and ({misses(pace.short)}) > {limit}"
        f" and {asked} >= {MIN_REQUESTS}"
    )
    return Alert(
        name=f"Specserve{name}BudgetBurns{pace.suffix}",
        expr=expr,
        for_=pace.for_,
        severity=pace.severity,
        summary=f"The budget of {what} burns {pace.factor:g} times too fast.",
        what=(
            f"{{{{ $value | humanizePercentage }}}} of the requests of {pace.long} missed it, "
            f"where {told} may: at this pace a month's budget is gone in {pace.gone}."
        ),
    )

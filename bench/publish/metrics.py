"""A result's figures for CloudWatch. Their number does not grow with the number of runs.

Dimensions are Pair, Load and Workload; none of them is new with each run, as a commit, a host or a
date would be.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from bench.errors import UsageProblemError
from bench.record import Result
from bench.settings import OPEN_LOOP
from bench.storage import safe_name
from bench.summary import Row, Summary

MAX_METRICS = 1000
"""That one request takes."""
PER_LEVEL, PER_ROW = 6, 5
OLDEST, NEWEST = timedelta(days=14), timedelta(hours=2)
"""How far from now CloudWatch takes a timestamp."""
NAMESPACE = re.compile(r"(?!AWS/)[A-Za-z0-9._/#:-]{1,255}")


@dataclass(frozen=True)
class Metric:
    name: str
    value: float
    unit: str
    dimensions: tuple[tuple[str, str], ...]

    def request(self, at: datetime) -> dict[str, Any]:
        return {
            "MetricName": self.name,
            "Value": self.value,
            "Unit": self.unit,
            "Timestamp": at,
            "Dimensions": [{"Name": name, "Value": value} for name, value in self.dimensions],
        }


def metrics(result: Result, summary: Summary) -> list[Metric]:
    """A row that is invalid or not lossless has no figure, and is counted instead."""
    return [one for level in result.settings.concurrency for one in _level(result, summary, level)]


def _level(result: Result, summary: Summary, level: int) -> Iterator[Metric]:
    load = "open loop" if level == OPEN_LOOP else f"concurrency {level}"
    where = (("Pair", pair_name(result)), ("Load", load))
    rows = [row for row in summary.rows if row.concurrency == level]
    gaps = [gap for gap in summary.gaps if gap.concurrency == level]
    faulty = [row for row in rows if not row.identity.lossless]
    yield Metric("NotLossless", len(faulty), "Count", where)
    yield Metric("Invalid", sum(bool(row.limited) for row in rows), "Count", where)
    yield Metric("NotShown", len(gaps), "Count", where)
    for row in rows:
        if not row.limited and row.identity.lossless:
            yield from _row(row, (*where, ("Workload", safe_name(row.workload))))
    if any(row.structured for row in faulty):
        return
    for pool in summary.pools:
        if pool.concurrency == level and pool.verdict != "invalid":
            together = (*where, ("Workload", "structured"))
            yield Metric("Speedup", pool.speedup.value, "None", together)
            yield Metric("SpeedupLow", pool.speedup.low, "None", together)
            yield Metric("SpeedupHigh", pool.speedup.high, "None", together)


def _row(row: Row, dimensions: tuple[tuple[str, str], ...]) -> Iterator[Metric]:
    yield Metric("Speedup", row.speedup.value, "None", dimensions)
    yield Metric("TpotPlain", row.base.tpot.value, "Milliseconds", dimensions)
    yield Metric("TpotSpeculative", row.other.tpot.value, "Milliseconds", dimensions)
    yield Metric("Valid", 100 * row.other.valid / row.other.requests, "Percent", dimensions)
    if row.acceptance:
        yield Metric("AcceptanceLength", row.acceptance.length, "None", dimensions)


def check_namespace(namespace: str) -> None:
    if not NAMESPACE.fullmatch(namespace):
        raise UsageProblemError(
            f"--cloudwatch {namespace!r} is no namespace: 1 to 255 letters, digits and ._/#:- that "
            "do not begin with AWS/."
        )


def check_sendable(result: Result) -> None:
    """Raises UsageProblemError for what CloudWatch would not take, or has no figure."""
    if result.kind != "speedup":
        raise UsageProblemError(
            f"--cloudwatch: a result of kind {result.kind} has no speedup: leave it out."
        )
    age = datetime.now(UTC) - measured_at(result)
    if not -NEWEST <= age <= OLDEST:
        raise UsageProblemError(
            f"--cloudwatch: the result is of {result.provenance.date}, and CloudWatch takes "
            "nothing that is older than 14 days or more than 2 hours ahead: leave it out."
        )
    levels, workloads = len(result.settings.concurrency), len(result.settings.workloads)
    most = levels * (PER_LEVEL + PER_ROW * workloads)
    if most > MAX_METRICS:
        raise UsageProblemError(
            f"--cloudwatch: {levels} loads and {workloads} workloads are {most} metrics, and one "
            f"request takes {MAX_METRICS}: measure fewer in one run."
        )


def measured_at(result: Result) -> datetime:
    return datetime.fromisoformat(result.provenance.date).astimezone(UTC)


def pair_name(result: Result) -> str:
    return safe_name((result.provenance.pair or {}).get("name", "urls"))

"""One arm's side of a row."""

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench import timing
from bench.record import Block, Measured
from bench.settings import Slo
from bench.stats import Estimate, Floats, median_of
from bench.validity import AnswerClass


@dataclass(frozen=True)
class ArmFacts:
    """Times in ms, medians over requests but for `step_gap` (over gaps) and the two ITL figures."""

    tpot: Estimate
    ttft: float
    e2e: float
    step_gap: float
    apportioned_itl: float
    apportioned_itl_p99: float
    tokens_per_chunk: float
    tokens_per_s: float
    goodput: float
    """Valid requests within the SLO, per second with requests in flight."""
    requests: int
    valid: int
    exact: int
    answers: Mapping[AnswerClass, int]
    """Of all requests, unusable ones too."""
    cut_off: int
    """Ended by max_tokens; never valid."""
    unusable: int
    merged_chunks: int
    chunks: int
    client_lag: float
    """The worst, in ms."""
    client_cpu: float
    """The busiest block's, in CPU seconds per second."""


def usable(requests: Sequence[Measured]) -> list[Measured]:
    return [one for one in requests if one.reply.problem is None]


def arm_facts(
    requests: Sequence[Measured], blocks: Sequence[Block], tpot: Floats, slo: Slo, seed: int
) -> ArmFacts:
    kept = usable(requests)
    replies = [one.reply for one in kept]
    sizes = [size for reply in replies for size in timing.tokens_per_chunk(reply)]
    gaps = [gap for reply in replies for gap in timing.step_gaps_ms(reply)]
    shares = [share for reply in replies for share in timing.apportioned_itl_ms(reply)]
    return ArmFacts(
        tpot=median_of(tpot, seed),
        ttft=statistics.median(timing.ttft_ms(reply) for reply in replies),
        e2e=statistics.median(timing.total_ms(reply) for reply in replies),
        step_gap=statistics.median(gaps),
        apportioned_itl=statistics.median(shares),
        apportioned_itl_p99=statistics.quantiles(shares, n=100)[98] if shares[1:] else shares[0],
        tokens_per_chunk=statistics.fmean(sizes),
        tokens_per_s=statistics.median(timing.tokens_per_s(reply) for reply in replies),
        goodput=goodput(requests, slo),
        requests=len(kept),
        valid=sum(one.valid for one in kept),
        exact=sum(one.exact for one in kept),
        answers=dict(Counter(one.answer for one in requests)),
        cut_off=sum(reply.finish_reason == "length" for reply in replies),
        unusable=len(requests) - len(kept),
        merged_chunks=sum(reply.merged_chunks for reply in replies),
        chunks=sum(len(timing.sizes(reply)) for reply in replies),
        client_lag=max(one.client_lag_ms for one in kept),
        client_cpu=max((block.client_cpu for block in blocks), default=0.0),
    )


def goodput(requests: Sequence[Measured], slo: Slo) -> float:
    """Requests per second; unusable ones take their time too."""
    spans: dict[int, tuple[int, int]] = {}
    for one in requests:
        start, end = one.started_ns, one.started_ns + one.reply.ended_ns
        first, last = spans.get(one.block, (start, end))
        spans[one.block] = min(first, start), max(last, end)
    good = sum(one.valid and keeps(one, slo) for one in requests)
    return good / max(1e-9, sum(last - first for first, last in spans.values()) / 1e9)


def keeps(one: Measured, slo: Slo) -> bool:
    """A usable answer of one chunk has no TPOT and keeps any bound on it."""
    if one.reply.problem is not None:
        return False
    tpot = timing.tpot_ms(one.reply)
    return (slo.ttft_ms is None or timing.ttft_ms(one.reply) <= slo.ttft_ms) and (
        slo.tpot_ms is None or tpot is None or tpot <= slo.tpot_ms
    )

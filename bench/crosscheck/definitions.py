"""What each program prints, as a function of one reply of ours, and how it pools replies.

Read in vLLM 0.32 `benchmarks/serve.py` and `lib/endpoint_request_func.py`, and in guidellm 0.8.1
`schemas/base/request_stats.py`, `schemas/base/statistics.py` and `backends/openai/http.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench import other_tools, timing
from bench.record import Reply

Samples = Callable[[Reply], list[float]]
Pool = Callable[[Sequence[float]], Mapping[str, float]]


@dataclass(frozen=True)
class Defined:
    """One series of a program, in ms."""

    name: str
    samples: Samples
    own: Samples
    """Ours that a reader would set beside it."""
    own_name: str
    why: str
    """What the program counts in another way than we do, and what our events cannot show of it."""


@dataclass(frozen=True)
class Sent:
    """One request of ours in a block."""

    started_ns: int
    reply: Reply


@dataclass(frozen=True)
class OfBlock:
    """One figure of all requests together."""

    name: str
    figure: Callable[[Sequence[Sent]], float]
    count: bool
    """Free of noise: greedy answers to the same prompts give the very same number."""


def interpolated(samples: Sequence[float]) -> Mapping[str, float]:
    """As numpy's percentile does."""
    median, p99 = np.percentile(samples, [50, 99])
    return {"mean": float(np.mean(samples)), "median": float(median), "p99": float(p99)}


def observed(samples: Sequence[float]) -> Mapping[str, float]:
    """The least sample that has that share of them at or below it."""
    median, p99 = np.percentile(samples, [50, 99], method="inverted_cdf")
    return {"mean": float(np.mean(samples)), "median": float(median), "p99": float(p99)}


def ttft(reply: Reply) -> list[float]:
    return [timing.ttft_ms(reply)]


def tpot(reply: Reply) -> list[float]:
    value = timing.tpot_ms(reply)
    return [] if value is None else [value]


def e2e(reply: Reply) -> list[float]:
    return [timing.total_ms(reply)]


def tokens(block: Sequence[Sent]) -> float:
    return float(sum(one.reply.completion_tokens or 0 for one in block))


def tokens_per_s(block: Sequence[Sent]) -> float:
    """All tokens over the time from the first request to the end of the last stream."""
    first = min(one.started_ns for one in block)
    last = max(one.started_ns + one.reply.ended_ns for one in block)
    return tokens(block) / (last - first) * 1e9


def acceptance_length(block: Sequence[Sent]) -> float:
    """Tokens per step by the engine's account of each request; 1 where it speculated nowhere."""
    told = [one.reply.speculation for one in block if one.reply.speculation is not None]
    return 1 + sum(one.accepted for one in told) / max(1, sum(one.steps for one in told))


TOKENS = OfBlock("output tokens", tokens, count=True)
THROUGHPUT = OfBlock("output tokens/s", tokens_per_s, count=False)
ACCEPTANCE = OfBlock("acceptance length", acceptance_length, count=True)
ITS_CLOCK = (
    "its clock starts before the request is encoded and, where no connection is open, before "
    "there is one; ours when the request is written to an open connection"
)
VLLM_SERIES = (
    Defined(
        "TTFT", other_tools.vllm_bench_ttft, ttft, "ttft",
        f"to the first message with a choice, tokens or none; {ITS_CLOCK}",
    ),
    Defined(
        "TPOT", other_tools.vllm_bench_tpot, tpot, "tpot",
        "divides by all tokens but one, whatever the first message held, and ends at the last "
        "message with a choice, where ours ends at the last tokens",
    ),
    Defined(
        "ITL", other_tools.vllm_bench_itl, timing.step_gaps_ms, "step gap",
        "a gap between messages and not between tokens: with speculation it is the step, several "
        "tokens long; messages without tokens count",
    ),
    Defined(
        "E2EL", other_tools.vllm_bench_e2el, e2e, "E2E",
        f"to the last message with a choice; {ITS_CLOCK}",
    ),
)  # fmt: skip
GUIDELLM_SERIES = (
    Defined(
        "TTFT", other_tools.guidellm_ttft, ttft, "ttft",
        "to the first line with text, stamped after the lines before it were parsed; a token whose "
        "text is held back does not count",
    ),
    Defined(
        "ITL", other_tools.guidellm_itl, tpot, "tpot",
        "one average per request over all tokens but one, weighted by that number: long answers "
        "count more, and percentiles are over requests",
    ),
    Defined(
        "TPOT", other_tools.guidellm_tpot, tpot, "tpot",
        "from the request's start, so that TTFT is in it; over all tokens, weighted by tokens",
    ),
    Defined(
        "latency", other_tools.guidellm_latency, e2e, "E2E",
        "until the stream is closed, after usage and [DONE]; ours ends at the last tokens",
    ),
)  # fmt: skip

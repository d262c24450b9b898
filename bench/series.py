"""Every printed name with its definition: `bench explain`, docs and reports take it from here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench import other_tools, timing
from bench.record import Reply

Samples = Callable[[Reply], Sequence[float]]


@dataclass(frozen=True)
class Definition:
    name: str
    unit: str
    says: str


@dataclass(frozen=True)
class Series(Definition):
    trap: str
    """What speculation does to it."""
    of: Samples
    """A reply's samples."""


def _one(of: Callable[[Reply], float | None]) -> Samples:
    def samples(reply: Reply) -> list[float]:
        value = of(reply)
        return [] if value is None else [value]

    return samples


SERIES = (
    Series(
        "ttft", "ms", "time to first token: first chunk − request written, per request",
        "the draft's own prefill is in it", _one(timing.ttft_ms),
    ),
    Series(
        "tpot", "ms/token",
        "time per output token: (last − first chunk) / (tokens − tokens in the first read), per "
        "request; the first read holds one chunk unless it was held up",
        "none: it counts tokens, whatever number of them a chunk holds", _one(timing.tpot_ms),
    ),
    Series(
        "step gap", "ms",
        "time between two chunks, per gap: the duration of a step",
        "longer with speculation, also where tokens come sooner: a step then emits several",
        timing.step_gaps_ms,
    ),
    Series(
        "apportioned ITL", "ms/token",
        "each step gap shared out evenly among the tokens of the chunk at its end, per token",
        "none in its mean; it hides that the tokens of a chunk come together",
        timing.apportioned_itl_ms,
    ),
    Series(
        "tokens/chunk", "tokens", "tokens of each chunk after the first, per chunk",
        "the acceptance length as the client sees it", timing.tokens_per_chunk,
    ),
    Series(
        "E2E", "ms", "last chunk − request written, per request", "", _one(timing.total_ms)
    ),
    Series(
        "tokens/s", "tokens/s", "tokens / E2E, per request", "", _one(timing.tokens_per_s)
    ),
)  # fmt: skip

OTHER_TOOLS = (
    Series(
        "llmperf ITL", "ms", "(TTFT + gaps between contents) / data events of the stream, per "
        "request", "an average per chunk with the prefill in it: a gain looks like a loss",
        other_tools.llmperf_itl,
    ),
    Series(
        "vllm bench ITL", "ms", "gap between two messages that have choices, pooled",
        "the step gap: worse with speculation", other_tools.vllm_bench_itl,
    ),
    Series(
        "vllm bench TPOT", "ms/token", "(last − first message with choices) / (tokens − 1), per "
        "request", "right, but for the tokens of the first chunk", other_tools.vllm_bench_tpot,
    ),
    Series(
        "guidellm ITL", "ms/token", "(last − first content) / (tokens − 1), an average per "
        "request weighted by tokens − 1", "right in the mean; stalls inside a request vanish",
        other_tools.guidellm_itl,
    ),
    Series(
        "guidellm TPOT", "ms/token", "last content − request start, / tokens, weighted by tokens",
        "TTFT is in it and dilutes the gain", other_tools.guidellm_tpot,
    ),
    Series(
        "aiperf ITL (2025)", "ms/token", "(last − first content) / (tokens − 1), per request",
        "right, but for the tokens of the first chunk", other_tools.aiperf_2025_itl,
    ),
    Series(
        "aiperf ITL (2026)", "ms/token", "(last − first content) / (tokens − tokens of the first "
        "content chunk), per request, with --per-chunk-usage", "none",
        other_tools.aiperf_2026_itl,
    ),
    Series(
        "inference-perf ITL", "ms", "gap between tokens where every token has its chunk's arrival",
        "a whole gap, then zeros: right in the mean, and the median is 0 above 2 tokens a chunk",
        other_tools.inference_perf_itl,
    ),
    Series(
        "inference-perf TPOT", "ms/token", "(last − first token) / (tokens − 1), per request",
        "right, but for the tokens of the first chunk", other_tools.inference_perf_tpot,
    ),
)  # fmt: skip

FIGURES = (
    Definition(
        "chunk", "", "a stream event that carries tokens, by its token_ids or else by how its "
        "usage grew; its time is that of the socket read that completed it",
    ),
    Definition(
        "acceptance length", "tokens/step", "1 + accepted / steps, by the engine's own account of "
        "each request",
    ),
    Definition(
        "accepted at position i", "share", "share of steps in which at least i drafts were "
        "accepted",
    ),
    Definition(
        "server counters", "", "the same from vllm:spec_decode_*, read before and after each "
        "block; used only where requests, prompt tokens, tokens, steps and drafts grew by exactly "
        "what our own requests had, which proves that nobody else was served",
    ),
    Definition(
        "speedup", "x", "median TPOT of all plain requests / median of all speculative ones"
    ),
    Definition(
        "paired mean", "x", "geometric mean over prompts of plain / speculative TPOT, repeats "
        "averaged in the prompt",
    ),
    Definition(
        "structured, all", "x", "geometric mean of the structured workloads' speedups; total time "
        "is the ratio of the summed times from request to last token",
    ),
    Definition(
        "interval", "", "95 % BCa bootstrap, 10 000 resamples over prompts with each prompt's "
        "repeats kept together, expanded by Student's t and n/(n-1) (Hesterberg 2015); percentile "
        "where BCa is not defined; below 8 prompts of a workload, t times the bootstrap's standard "
        "error",
    ),
    Definition(
        "verdict", "", "faster or slower: the interval is wholly on one side of 1, else not "
        "shown; no harm: it lies wholly inside [0.95, 1.05], a test of equivalence; invalid: the "
        "client was the limit",
    ),
    Definition(
        "valid, exact", "", "by the task's own validator: the format holds; the content is right "
        "too. Each answer has one class: `bench explain answers`",
    ),
    Definition(
        "valid goodput", "requests/s", "requests with a valid answer whose TTFT and TPOT keep "
        "--slo-ttft and --slo-tpot, per second in which the arm had requests in flight",
    ),
    Definition(
        "identical", "", "the tokens equal the plain ones of the same prompt and repeat; the "
        "control compares the plain engine's even repeats with its odd ones",
    ),
    Definition(
        "tie, fault", "", "of a first difference: the plain engine, asked again there, rates both "
        "tokens within 0.001 nats of each other in float32, 0.25 otherwise (tie), or not (fault); "
        "without an answer it is a fault unless plain output varies for that prompt itself",
    ),
    Definition(
        "merged", "chunks", "chunks that shared a socket read with an earlier one; above 2 % a "
        "line below the table says so",
    ),
    Definition(
        "client lag", "ms", "the longest time in which the bench's own event loop could stamp "
        "nothing; above 20 ms a line names the worst",
    ),
    Definition(
        "client limit", "", "a side of a row is invalid if the thread that stamps used 80 % of a "
        "core or more, could stamp nothing (5 ms or longer at a time) in 20 % of the time or "
        "more, or, in an open loop, sent half of the requests later than a tenth of the mean gap "
        "between arrivals",
    ),
)  # fmt: skip

ALL: Mapping[str, Definition] = {one.name: one for one in (*SERIES, *OTHER_TOOLS, *FIGURES)}

"""What other tools would print from the same events. For comparison only; none of it is ours.

Each function gives one reply's samples in ms, as the tool pools them over requests. Read in the
tools' sources: llmperf `openai_chat_completions_client.py` and `token_benchmark_ray.py` (f1d6bed),
vLLM 0.32 `benchmarks/serve.py` and `lib/endpoint_request_func.py`, guidellm
`schemas/request_stats.py` (ee7a7745; the same in 0.8.1), aiperf `inter_token_latency_metric.py`
(db4f6397 and its 2026 form), inference-perf `reportgen/base.py` (7de5ef2).
"""

from itertools import pairwise

from bench.events import Event
from bench.record import Reply
from bench.timing import MS


def _messages(reply: Reply) -> list[Event]:
    """Events with a choice: a role, an empty text and a finish count too."""
    return [event for event in reply.events if event.choices]


def _content(reply: Reply) -> list[Event]:
    return [event for event in reply.events if event.text]


def _tokens(reply: Reply) -> int:
    return sum(event.tokens for event in reply.events)


def _span_ms(events: list[Event]) -> float:
    return (events[-1].at_ns - events[0].at_ns) / MS


def llmperf_itl(reply: Reply) -> list[float]:
    """(TTFT + all content gaps) / data events; the time of the last content is that sum."""
    content = _content(reply)
    return [content[-1].at_ns / MS / len(_messages(reply))] if content else []


def vllm_bench_ttft(reply: Reply) -> list[float]:
    return [event.at_ns / MS for event in _messages(reply)[:1]]


def vllm_bench_e2el(reply: Reply) -> list[float]:
    return [event.at_ns / MS for event in _messages(reply)[-1:]]


def vllm_bench_itl(reply: Reply) -> list[float]:
    return [(b.at_ns - a.at_ns) / MS for a, b in pairwise(_messages(reply))]


def vllm_bench_tpot(reply: Reply) -> list[float]:
    tokens = _tokens(reply)
    return [_span_ms(_messages(reply)) / (tokens - 1)] if tokens > 1 else []


def guidellm_ttft(reply: Reply) -> list[float]:
    return [event.at_ns / MS for event in _content(reply)[:1]]


def guidellm_latency(reply: Reply) -> list[float]:
    """To the end of the stream, not of the answer."""
    return [reply.ended_ns / MS]


def guidellm_itl(reply: Reply) -> list[float]:
    """One average per request, weighted by its n − 1 gaps: repeated that often."""
    tokens, content = _tokens(reply), _content(reply)
    if tokens < 2 or not content:
        return []
    return [_span_ms(content) / (tokens - 1)] * (tokens - 1)


def guidellm_tpot(reply: Reply) -> list[float]:
    """From the request's start, so TTFT is in it; weighted by n."""
    tokens, content = _tokens(reply), _content(reply)
    return [content[-1].at_ns / MS / tokens] * tokens if content else []


def aiperf_2025_itl(reply: Reply) -> list[float]:
    tokens, content = _tokens(reply), _content(reply)
    return [_span_ms(content) / (tokens - 1)] if tokens > 1 and content else []


def aiperf_2026_itl(reply: Reply) -> list[float]:
    """With `--per-chunk-usage`: the first content chunk's tokens are out of the divisor."""
    content = _content(reply)
    rest = _tokens(reply) - content[0].tokens if content else 0
    return [_span_ms(content) / rest] if rest > 0 else []


def inference_perf_itl(reply: Reply) -> list[float]:
    """Every token has its chunk's arrival: one whole gap, then zeros."""
    arrivals = [event.at_ns for event in reply.events for _ in range(event.tokens)]
    return [(later - earlier) / MS for earlier, later in pairwise(arrivals)]


def inference_perf_tpot(reply: Reply) -> list[float]:
    tokens = _tokens(reply)
    return [_span_ms(list(reply.chunks)) / (tokens - 1)] if tokens > 1 else []

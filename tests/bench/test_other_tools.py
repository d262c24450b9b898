"""What other tools print of one stream, against an example worked out by hand.

A chat stream: the role comes with the first token after 200 ms; 97 tokens. Plain: a token every
12 ms. Speculative: four tokens every 25 ms. The true decode speedup is 12 / 6.25 = 1.92.
"""

import statistics
from collections.abc import Sequence

import numpy as np
import pytest

from bench import timing
from bench.record import Reply
from bench.reply import read_reply
from bench.series import ALL, OTHER_TOOLS, SERIES, Series
from bench.wire import Exchange, Read
from tests.bench.fake_engine import DONE, event, usage_event

MS = 1_000_000
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


def delta(content: str | None, tokens: int, *, role: bool = False, last: bool = False) -> bytes:
    said = {"role": "assistant", "content": ""} if role else {"content": content}
    choice = {"index": 0, "delta": said, "token_ids": [7] * tokens, "finish_reason": None}
    return event({"id": "x", "choices": [choice | ({"finish_reason": "stop"} if last else {})]})


def stream(step_ms: int, size: int) -> Reply:
    steps = 96 // size
    reads = [Read(200 * MS, HEAD + delta(None, 0, role=True)), Read(200 * MS, delta("a", 1))]
    for number in range(1, steps + 1):
        data = delta("a" * size, size, last=number == steps)
        reads.append(Read((200 + step_ms * number) * MS, data))
    reads.append(Read(reads[-1].at_ns, usage_event(97) + DONE))
    return read_reply(Exchange(0, reads[-1].at_ns, tuple(reads)))


PLAIN, SPECULATIVE = stream(12, 1), stream(25, 4)


def three(samples: Sequence[float]) -> tuple[float, float, float]:
    return (statistics.fmean(samples), *np.percentile(samples, [50, 99]))


@pytest.mark.parametrize(
    ("name", "plain", "speculative"),
    [
        ("tpot", (12, 12, 12), (6.25, 6.25, 6.25)),
        ("step gap", (12, 12, 12), (25, 25, 25)),
        ("apportioned ITL", (12, 12, 12), (6.25, 6.25, 6.25)),
        ("tokens/chunk", (1, 1, 1), (4, 4, 4)),
        ("ttft", (200, 200, 200), (200, 200, 200)),
        ("E2E", (1352, 1352, 1352), (800, 800, 800)),
        ("tokens/s", (97 / 1.352,) * 3, (97 / 0.8,) * 3),
        ("llmperf ITL", (1352 / 98,) * 3, (800 / 26,) * 3),
        ("vllm bench ITL", (1152 / 97, 12, 12), (24, 25, 25)),
        ("vllm bench TPOT", (12, 12, 12), (6.25, 6.25, 6.25)),
        ("guidellm ITL", (12, 12, 12), (6.25, 6.25, 6.25)),
        ("guidellm TPOT", (1352 / 97,) * 3, (800 / 97,) * 3),
        ("aiperf ITL (2025)", (12, 12, 12), (6.25, 6.25, 6.25)),
        ("aiperf ITL (2026)", (12, 12, 12), (6.25, 6.25, 6.25)),
        ("inference-perf ITL", (12, 12, 12), (6.25, 0, 25)),
        ("inference-perf TPOT", (12, 12, 12), (6.25, 6.25, 6.25)),
    ],
)
def test_each_series_says_what_its_definition_gives(
    name: str, plain: tuple[float, ...], speculative: tuple[float, ...]
) -> None:
    series = ALL[name]
    assert isinstance(series, Series)
    assert PLAIN.problem is None
    assert three(series.of(PLAIN)) == pytest.approx(plain)
    assert three(series.of(SPECULATIVE)) == pytest.approx(speculative)


def test_no_series_is_left_out_above() -> None:
    marks = test_each_series_says_what_its_definition_gives.pytestmark  # type: ignore[attr-defined]
    names = {row[0] for row in marks[0].args[1]}
    assert names == {one.name for one in (*SERIES, *OTHER_TOOLS)}


def test_what_the_tables_of_others_make_of_a_true_gain() -> None:
    def shown(name: str) -> float:
        series = ALL[name]
        assert isinstance(series, Series)
        return statistics.fmean(series.of(PLAIN)) / statistics.fmean(series.of(SPECULATIVE))

    assert shown("vllm bench ITL") == pytest.approx(0.49, abs=0.01)
    assert shown("llmperf ITL") == pytest.approx(0.45, abs=0.01)
    assert shown("guidellm TPOT") == pytest.approx(1.69, abs=0.01)
    assert shown("tpot") == pytest.approx(1.92)


def test_a_first_chunk_of_several_tokens_biases_all_but_two() -> None:
    """Four tokens in the first chunk, then 24 steps: only the divisor of 96 is right."""
    reads = [Read(200 * MS, HEAD + delta("abcd", 4))]
    reads += [Read((200 + 25 * n) * MS, delta("abcd", 4, last=n == 24)) for n in range(1, 25)]
    reads.append(Read(reads[-1].at_ns, usage_event(100) + DONE))
    reply = read_reply(Exchange(0, reads[-1].at_ns, tuple(reads)))
    assert timing.tpot_ms(reply) == 6.25
    for name in ("aiperf ITL (2026)", "vllm bench TPOT", "aiperf ITL (2025)", "guidellm ITL"):
        series = ALL[name]
        assert isinstance(series, Series)
        expected = 600 / 96 if name == "aiperf ITL (2026)" else 600 / 99
        assert series.of(reply)[0] == pytest.approx(expected), name


def test_a_role_alone_is_no_first_token() -> None:
    assert timing.ttft_ms(PLAIN) == 200
    assert len(PLAIN.chunks) == 97
    assert len(PLAIN.events) == 99

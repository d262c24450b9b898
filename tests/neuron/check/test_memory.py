"""The model of a core's memory against figures worked out elsewhere."""

from __future__ import annotations

import pytest

from neuron.catalogue import catalogue
from neuron.check.heads import kv_heads, padded_heads
from neuron.check.memory import need_of
from neuron.pair import Pair, load_pair

DEGREES = (4, 8, 32, 64)

# Copied from the table of weight sizes in shared research: GiB per core at those degrees.
WEIGHTS = {
    "qwen2.5-0.5b": (0.30, 0.15, 0.04, 0.03),
    "qwen2.5-1.5b": (0.84, 0.44, 0.14, 0.09),
    "qwen2.5-7b": (3.55, 1.82, 0.49, 0.29),
    "qwen2.5-14b": (6.88, 3.44, 1.04, 0.58),
    "qwen2.5-32b": (15.3, 7.6, 2.14, 1.15),
    "qwen2.5-72b": (33.9, 16.9, 4.47, 2.39),
    "qwen3-1.7b": (0.95, 0.47, 0.15, 0.10),
    "qwen3-8b": (3.81, 1.91, 0.53, 0.34),
    "qwen3-32b": (15.3, 7.6, 2.02, 1.09),
}
# Likewise: query heads after padding.
HEADS = {14: (16, 16, 32, 64), 28: (28, 32, 32, 64), 40: (40, 40, 64, 64), 64: (64, 64, 64, 64)}


def pair(**fields: object) -> Pair:
    return Pair.model_validate({**load_pair("qwen3-32b-tp32").model_dump(), **fields})


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_per_core(name: str) -> None:
    for tp, expected in zip(DEGREES, WEIGHTS[name], strict=True):
        found = need_of(catalogue()[name], pair(), tp).weights
        assert found == pytest.approx(expected, rel=0.02, abs=0.012)


@pytest.mark.parametrize("heads", HEADS)
def test_padded_query_heads(heads: int) -> None:
    assert tuple(padded_heads(heads, tp) for tp in DEGREES) == HEADS[heads]


@pytest.mark.parametrize(
    ("heads", "kv", "tp", "expected"),
    [
        (64, 8, 4, 8),
        (64, 8, 8, 8),
        (64, 8, 32, 32),
        (14, 2, 4, 4),
        (64, 8, 12, 72),
        (28, 4, 6, 30),
        (16, 16, 12, 24),
    ],
    ids=["split", "one each", "replicated", "over four", "per query", "over six", "no group"],
)
def test_kv_heads_are_split_replicated_or_one_per_query_head(
    heads: int, kv: int, tp: int, expected: int
) -> None:
    assert kv_heads(heads, kv, tp) == expected


def test_caches_per_core() -> None:
    # 2 × 64 layers × 4 sequences × 4096 positions × 1 head of 128 × 2 bytes.
    assert need_of(catalogue()["qwen3-32b"], pair(), 32).caches == pytest.approx(0.5)
    # Two of eight heads on each of four cores.
    one = pair(max_num_seqs=1, max_model_len=2048)
    assert need_of(catalogue()["qwen3-32b"], one, 4).caches == pytest.approx(0.125)


def test_float32_takes_twice_as_much() -> None:
    shape = catalogue()["qwen3-8b"]
    half, whole = need_of(shape, pair(), 32), need_of(shape, pair(dtype="float32"), 32)
    assert whole.total == pytest.approx(2 * half.total)

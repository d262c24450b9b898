"""The model of a core's memory against figures worked out elsewhere."""

from __future__ import annotations

import pytest

from neuron.catalogue import catalogue
from neuron.cost import Memory, memory, shipped
from neuron.cost.step import Shard

DEGREES = (4, 8, 32, 64)

# Worked out by hand from the shapes: GiB per core at those degrees.
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


def of(name: str, tp: int, *, batch: int = 4, length: int = 4096, **options: object) -> Memory:
    return memory(
        [catalogue()[name]],
        tp,
        batch=batch,
        max_model_len=length,
        hardware=shipped().hardware,
        **options,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_per_core(name: str) -> None:
    for tp, expected in zip(DEGREES, WEIGHTS[name], strict=True):
        assert of(name, tp).weights == pytest.approx(expected, rel=0.02, abs=0.012)


def shard(heads: int, kv: int, tp: int) -> Shard:
    changed = {"num_attention_heads": heads, "num_key_value_heads": kv}
    return Shard.of(catalogue()["qwen3-32b"].model_copy(update=changed), tp)


@pytest.mark.parametrize("heads", HEADS)
def test_padded_query_heads(heads: int) -> None:
    assert tuple(tp * shard(heads, 2, tp).q for tp in DEGREES) == HEADS[heads]


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
    assert tp * shard(heads, kv, tp).kv == expected


def test_caches_per_core() -> None:
    # 2 × 64 layers × 4 sequences × 4096 positions × 1 head of 128 × 2 bytes.
    assert of("qwen3-32b", 32).cache == pytest.approx(0.5)
    # Two of eight heads on each of four cores.
    assert of("qwen3-32b", 4, batch=1, length=2048).cache == pytest.approx(0.125)


def test_float32_takes_twice_as_much_and_lnc_1_leaves_half() -> None:
    half, whole = of("qwen3-8b", 32), of("qwen3-8b", 32, dtype="float32")
    assert (whole.weights, whole.cache) == (2 * half.weights, 2 * half.cache)
    assert of("qwen3-8b", 32, lnc=1).limit == half.limit / 2 == 12


def test_the_guess_at_graphs_decides_between_tight_and_too_large() -> None:
    fits = [Memory(held, 0.0, 3.0, 1.0, 24.0).fit for held in (21.0, 21.1, 23.0, 23.1)]
    assert fits == ["fits", "tight", "tight", "too large"]

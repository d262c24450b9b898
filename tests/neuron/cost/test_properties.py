"""What must hold for any model and setup, whatever the coefficients are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuron.catalogue import Geometry, catalogue
from neuron.cost import MAX_K, Costs, Loop, Model, Setup, memory, shipped, tokens_per_step
from neuron.cost.step import Shard
from tests.neuron.cost.conftest import model

names = st.sampled_from(sorted(catalogue()))
degrees = st.sampled_from([1, 2, 4, 8, 16, 32, 64])
batches = st.integers(1, 64)
contexts = st.integers(1, 32_768)
ks = st.integers(1, MAX_K)
acceptances = st.floats(0, 1)
loops: st.SearchStrategy[Loop] = st.sampled_from(["nxdi", "generic"])


@st.composite
def setups(draw: st.DrawFn) -> Setup:
    target, draft = catalogue()[draw(names)], catalogue()[draw(names)]
    return Setup(target, draft, draw(degrees), draw(batches), draw(contexts))


@given(setups(), st.floats(1.01, 10))
def test_more_bandwidth_is_never_slower(setup: Setup, factor: float) -> None:
    hardware = shipped().hardware
    wider = hardware.bw_core.model_copy(update={"value": hardware.bw_core.value * factor})
    faster = Model(hardware.model_copy(update={"bw_core": wider}), shipped().calibrated)
    then = Costs.of(faster, setup)
    now = Costs.of(model(), setup)
    assert then.plain_ms < now.plain_ms
    assert then.draft_ms < now.draft_ms


@given(setups(), ks)
def test_more_sequences_and_positions_and_rows_never_take_less(setup: Setup, k: int) -> None:
    here = Costs.of(model(), setup)
    larger = Setup(setup.target, setup.draft, setup.tp, setup.batch + 1, setup.context)
    longer = Setup(setup.target, setup.draft, setup.tp, setup.batch, setup.context + 1)
    assert Costs.of(model(), larger).plain_ms > here.plain_ms
    assert Costs.of(model(), longer).plain_ms > here.plain_ms
    assert here.verify_ms[k] > here.verify_ms[k - 1]
    assert here.verify_ms[0] == here.plain_ms


@given(setups())
def test_no_set_is_below_the_roofline(setup: Setup) -> None:
    floor = Costs.of(model("roofline"), setup).plain_ms
    best = Costs.of(model("optimised"), setup).plain_ms
    assert floor < best < Costs.of(model(), setup).plain_ms


@given(setups(), ks, loops)
def test_without_acceptance_speculation_is_never_faster(setup: Setup, k: int, loop: Loop) -> None:
    assert Costs.of(model(), setup, loop=loop).speedup(0.0, k) < 1


@given(setups(), ks, loops, acceptances)
def test_a_speedup_stays_below_the_tokens_of_a_step(
    setup: Setup, k: int, loop: Loop, acceptance: float
) -> None:
    speedup = Costs.of(model(), setup, loop=loop).speedup(acceptance, k)
    assert 0 < speedup < tokens_per_step(acceptance, k) <= k + 1


@given(setups(), ks, acceptances)
def test_the_pass_that_fills_nxdi_s_cache_costs(setup: Setup, k: int, acceptance: float) -> None:
    fewer = Costs.of(model(), setup, loop="generic")
    more = Costs.of(model(), setup, loop="nxdi")
    assert more.step_ms(k) - fewer.step_ms(k) == pytest.approx(fewer.draft_ms)
    assert more.tpot_ms(acceptance, k) > fewer.tpot_ms(acceptance, k)


@given(setups(), st.tuples(acceptances, acceptances), ks)
def test_more_acceptance_is_never_slower(setup: Setup, rates: tuple[float, float], k: int) -> None:
    costs = Costs.of(model(), setup)
    assert costs.speedup(min(rates), k) <= costs.speedup(max(rates), k)


@given(setups(), acceptances)
def test_no_other_k_is_faster_than_the_best(setup: Setup, acceptance: float) -> None:
    costs = Costs.of(model(), setup)
    best = costs.tpot_ms(acceptance, costs.best_k(acceptance))
    assert all(best <= costs.tpot_ms(acceptance, k) for k in range(1, MAX_K + 1))


@given(ks)
def test_tokens_per_step_at_the_ends(k: int) -> None:
    assert tokens_per_step(0.0, k) == 1
    assert tokens_per_step(1.0, k) == k + 1
    assert tokens_per_step(0.5, k) == pytest.approx((1 - 0.5 ** (k + 1)) / 0.5)


@given(names, degrees)
def test_every_head_has_a_core(name: str, tp: int) -> None:
    shape = catalogue()[name]
    shard = Shard.of(shape, tp)
    assert shard.q * tp >= shape.num_attention_heads
    assert shard.kv * tp >= shape.num_key_value_heads
    assert shard.q >= shard.kv


# Worked out by hand from NXDI 4bcdc54, modules/attention/gqa.py.
@pytest.mark.parametrize(
    ("name", "padded"),
    [
        ("qwen2.5-0.5b", (16, 16, 16, 32, 64)),
        ("qwen2.5-1.5b", (12, 16, 16, 32, 64)),
        ("qwen2.5-7b", (28, 32, 32, 32, 64)),
        ("qwen2.5-32b", (40, 40, 48, 64, 64)),
        ("qwen2.5-72b", (64, 64, 64, 64, 64)),
        ("qwen3-1.7b", (16, 16, 16, 32, 64)),
    ],
)
def test_query_heads_are_padded_as_nxdi_does(name: str, padded: tuple[int, ...]) -> None:
    found = [tp * Shard.of(catalogue()[name], tp).q for tp in (4, 8, 16, 32, 64)]
    assert tuple(found) == padded


def test_heads_that_no_degree_divides_get_a_kv_head_each() -> None:
    odd = catalogue()["qwen2.5-7b"].model_copy(update={"num_key_value_heads": 7})
    assert Shard.of(odd, 4) == Shard(q=7, kv=7)


# Worked out by hand: weights and caches of target and draft, GiB per core.
@pytest.mark.parametrize(
    ("target", "draft", "tp", "batch", "length", "weights", "cache"),
    [
        ("qwen2.5-7b", "qwen2.5-0.5b", 4, 4, 4096, 3.85, 0.31),
        ("qwen2.5-32b", "qwen2.5-0.5b", 32, 4, 4096, 2.18, 0.59),
        ("qwen2.5-72b", "qwen2.5-0.5b", 32, 4, 4096, 4.51, 0.72),
        ("qwen3-32b", "qwen3-1.7b", 32, 4, 4096, 2.17, 0.72),
    ],
)
def test_memory_of_the_pairs_that_ship(
    target: str, draft: str, tp: int, batch: int, length: int, weights: float, cache: float
) -> None:
    found = memory(
        (catalogue()[target], catalogue()[draft]),
        tp,
        batch=batch,
        max_model_len=length,
        hardware=shipped().hardware,
    )
    assert found.weights == pytest.approx(weights, abs=0.02)
    assert found.cache == pytest.approx(cache, abs=0.02)
    assert found.total == found.weights + found.cache + found.overhead
    assert found.fits


def test_72b_does_not_fit_four_cores() -> None:
    pair: tuple[Geometry, ...] = (catalogue()["qwen2.5-72b"],)
    found = memory(pair, 4, batch=1, max_model_len=128, hardware=shipped().hardware)
    assert found.weights == pytest.approx(33.9, abs=0.1)
    assert not found.fits

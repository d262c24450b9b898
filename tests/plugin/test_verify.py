"""Host verification on made-up logits: whatever is drafted, the outcome is plain sampling's."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from random import Random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from neuron.plugin.sampling import Chooser, History, Sampling, distribution
from neuron.plugin.verify import report, unpacked, verify

VOCAB = 12
SAMPLED = Sampling(temperature=1.0)
# Fixed seeds: a pass stays a pass, and the level says how surprising a failure would be.
LEVEL = 1e-4

samplings = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 0.3, 1.0, 2.0]),
    top_k=st.integers(0, VOCAB + 1),
    top_p=st.sampled_from([1.0, 0.9, 0.5, 1e-6]),
    min_p=st.sampled_from([0.0, 0.1, 0.9]),
    presence=st.sampled_from([0.0, 1.5, -1.0]),
    frequency=st.sampled_from([0.0, 0.7]),
    repetition=st.sampled_from([1.0, 1.3, 0.8]),
    min_tokens=st.integers(0, 6),
    stop_ids=st.frozensets(st.integers(0, VOCAB - 1), max_size=2),
    bias=st.lists(st.tuples(st.integers(0, VOCAB - 1), st.floats(-5, 5)), max_size=2).map(tuple),
    banned=st.lists(
        st.lists(st.integers(0, VOCAB - 1), min_size=1, max_size=3).map(tuple), max_size=2
    ).map(tuple),
    logprobs=st.sampled_from([None, 0, 3]),
)


def target(tokens: Sequence[int]) -> torch.Tensor:
    """Logits [VOCAB] that depend on the whole past."""
    mixed = hash(tuple(tokens)) % (1 << 31)
    return torch.randn(VOCAB, generator=torch.Generator().manual_seed(mixed)) * 2


def chooser(sampling: Sampling, prompt: Sequence[int] = (1, 2), seed: int = 7) -> Chooser:
    return Chooser(sampling, History(prompt), torch.Generator().manual_seed(seed))


def draw(sampling: Sampling, row: torch.Tensor, count: int) -> list[int]:
    generator = torch.Generator().manual_seed(0)
    return [Chooser(sampling, History(()), generator).choose(row.clone()) for _ in range(count)]


@given(samplings, st.lists(st.integers(2, 6), min_size=4, max_size=4), st.randoms())
@settings(max_examples=150, deadline=None)
def test_any_drafts_at_any_k_leave_plain_samplings_tokens(
    sampling: Sampling, ks: list[int], random: Random
) -> None:
    prompt = (1, 2)
    plain = chooser(sampling)
    reference: list[int] = []
    while len(reference) < 24:
        reference += verify(target([*prompt, *reference])[None], (), plain, limit=1).tokens

    speculative = chooser(sampling)
    tokens: list[int] = []
    for k in ks:
        # Right guesses half of the time, so that every accepted length occurs.
        candidates = [
            reference[len(tokens) + i] if random.random() < 0.7 else random.randint(0, VOCAB - 1)
            for i in range(k - 1)
        ]
        rows = torch.stack([target([*prompt, *tokens, *candidates[:i]]) for i in range(k)])
        verified = verify(rows, candidates, speculative, limit=random.randint(1, k))
        assert 1 <= len(verified.tokens) <= k
        assert list(verified.tokens[:-1]) == candidates[: len(verified.tokens) - 1]
        assert len(verified.logprobs) == (0 if sampling.logprobs is None else len(verified.tokens))
        tokens += verified.tokens
    assert tokens == reference[: len(tokens)]


@given(samplings, st.lists(st.integers(0, VOCAB - 1), max_size=5), st.randoms())
@settings(max_examples=100, deadline=None)
def test_only_what_the_grammar_allows_is_chosen(
    sampling: Sampling, candidates: list[int], random: Random
) -> None:
    # Banned words and biases aside, which could leave nothing that is allowed.
    sampling = dataclasses.replace(sampling, banned=(), stop_ids=frozenset())
    rows = torch.stack([target(candidates[:i]) for i in range(len(candidates) + 1)])
    allowed = torch.zeros(rows.shape, dtype=torch.bool)
    for row in allowed:
        row[[random.randint(0, VOCAB - 1) for _ in range(3)]] = True
    verified = verify(rows, candidates, chooser(sampling), limit=6, allowed=allowed)
    assert all(allowed[i, token] for i, token in enumerate(verified.tokens))


def test_a_candidate_is_accepted_as_often_as_the_target_draws_it() -> None:
    row, other = target([3]), target([4])
    probabilities = row.softmax(dim=-1)
    candidate = int(probabilities.argmax())
    generator = torch.Generator().manual_seed(1)
    count = 4000
    firsts, accepted = [], 0
    for _ in range(count):
        one = Chooser(SAMPLED, History(()), generator)
        tokens = verify(torch.stack((row, other)), [candidate], one, limit=2).tokens
        firsts.append(tokens[0])
        accepted += len(tokens) == 2
    assert stats.binomtest(accepted, count, float(probabilities[candidate])).pvalue > LEVEL
    seen = np.bincount(firsts, minlength=VOCAB)
    assert stats.chisquare(seen, row.double().softmax(dim=-1).numpy() * count).pvalue > LEVEL
    flatter = (row.double() / 1.3).softmax(dim=-1).numpy()
    assert stats.chisquare(seen, flatter * count).pvalue < LEVEL


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7])
@pytest.mark.parametrize("cut", [{}, {"top_k": 4}, {"top_p": 0.8}, {"min_p": 0.2}])
def test_the_draws_follow_the_cut_distribution(temperature: float, cut: dict[str, float]) -> None:
    sampling = Sampling(temperature=temperature, **cut)  # type: ignore[arg-type]
    row = target([9])
    # Written out anew, token by token, so that it shares nothing with the code under test.
    weights = {i: float(np.exp(value / temperature)) for i, value in enumerate(row.tolist())}
    ranked = sorted(weights, key=lambda token: -weights[token])
    total = sum(weights.values())
    kept = set(ranked)
    if "top_k" in cut:
        kept = set(ranked[: int(cut["top_k"])])
    if "top_p" in cut:
        mass = np.cumsum([weights[token] / total for token in ranked])
        kept = set(ranked[: int((mass < cut["top_p"]).sum()) + 1])
    if "min_p" in cut:
        kept = {t for t in ranked if weights[t] >= cut["min_p"] * weights[ranked[0]]}
    expected = np.array([weights[t] if t in kept else 0.0 for t in range(VOCAB)])
    expected /= expected.sum()

    seen = np.bincount(draw(sampling, row, 3000), minlength=VOCAB)
    assert seen[expected == 0].sum() == 0
    inside = expected > 0
    assert stats.chisquare(seen[inside], expected[inside] * seen.sum()).pvalue > LEVEL


def test_every_cut_leaves_the_likeliest() -> None:
    row = target([5])
    for cut in ({"top_k": 1}, {"top_p": 1e-9}, {"min_p": 1.0}):
        tokens, _ = distribution(row, Sampling(temperature=1.0, **cut))
        assert tokens is not None
        assert tokens.tolist() == [int(row.argmax())]


def test_top_p_of_a_flat_distribution_sorts_all_of_it() -> None:
    row = torch.zeros(250_000)
    row[7] = 0.1
    tokens, probabilities = distribution(row, Sampling(temperature=1.0, top_p=0.5))
    assert tokens is not None
    assert tokens.shape == probabilities.shape
    assert abs(len(tokens) - 125_000) < 50
    assert 7 in tokens.tolist()


def test_penalties_are_those_of_the_formula() -> None:
    sampling = Sampling(presence=0.5, frequency=0.25, repetition=2.0)
    row = torch.tensor([4.0, 3.9, -1.0, 0.0])
    one = Chooser(sampling, History([2]), torch.Generator())
    # 4.0 against 3.9; then 4/2 - .5 - .25 = 1.25 against 3.9; then 1.25 against 1.2; then
    # 4/2 - .5 - .5 = 1.0 against 1.2.
    chosen = []
    for _ in range(4):
        chosen.append(one.choose(row))
        one.history.add(chosen[-1])
    assert chosen == [0, 1, 0, 1]
    # The prompt's token counts for repetition only: -1 * 2.
    assert one.constrained(row)[2] == -2.0


def test_words_are_banned_at_their_last_token_only() -> None:
    row = torch.tensor([0.0, 1.0, 5.0])
    one = Chooser(Sampling(banned=((0, 2), (1,))), History(()), torch.Generator())
    assert one.choose(row) == 2
    one.history.add(0)
    assert one.choose(row) == 0


def test_a_stop_token_waits_for_min_tokens() -> None:
    row = torch.tensor([0.0, 1.0, 5.0])
    sampling = Sampling(min_tokens=2, stop_ids=frozenset({2}))
    tokens = verify(row.expand(4, 3), [1, 1, 2], chooser(sampling), limit=4).tokens
    assert tokens == (1, 1, 2, 2)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_where_lists_and_grammar_leave_nothing_the_grammar_is_obeyed(temperature: float) -> None:
    allowed = torch.tensor([[False, True, False]])
    sampling = Sampling(temperature=temperature, allowed=(0,))
    row = torch.tensor([[0.0, 1.0, 5.0]])
    assert verify(row, (), chooser(sampling), limit=1, allowed=allowed).tokens == (1,)


@pytest.mark.parametrize("value", [float("-inf"), float("nan")])
def test_a_row_without_a_number_still_gives_a_token(value: float) -> None:
    row = torch.full((1, VOCAB), value)
    (token,) = verify(row, (), chooser(SAMPLED), limit=1).tokens
    assert 0 <= token < VOCAB


def test_a_stop_token_outside_the_vocabulary_is_no_error() -> None:
    sampling = Sampling(min_tokens=1, stop_ids=frozenset({2, 999_999}))
    assert chooser(sampling).choose(torch.tensor([0.0, 1.0, 5.0])) == 1


def test_allowed_tokens_and_bias() -> None:
    row = torch.tensor([0.0, 1.0, 5.0])
    assert chooser(Sampling(allowed=(0, 1))).choose(row) == 1
    assert chooser(Sampling(allowed=(0, 1), bias=((0, 2.0),))).choose(row) == 0


def test_logprobs_are_the_targets_own_before_temperature_and_penalties() -> None:
    row = target([8])
    sampling = Sampling(temperature=0.1, presence=2.0, logprobs=2)
    (token,), (got,) = (
        (verified := verify(row[None], (), chooser(sampling), limit=1)).tokens,
        verified.logprobs,
    )
    expected = row.log_softmax(dim=-1)
    ranked = expected.argsort(descending=True).tolist()
    assert got.tokens.tolist() == [token, *ranked[:2]]
    assert got.values.tolist() == [float(expected[t]) for t in got.tokens.tolist()]
    assert got.rank == ranked.index(token) + 1


def test_all_logprobs() -> None:
    assert report(target([8]), 3, -1).tokens.shape == (1 + VOCAB,)


@given(st.lists(st.integers(0, 1), min_size=70, max_size=70))
def test_a_packed_mask_is_unpacked(bits: list[int]) -> None:
    padded = np.array(bits + [1] * 26, dtype=np.uint8)
    words = np.packbits(padded, bitorder="little").view(np.int32)
    assert unpacked(words[None], 70)[0].int().tolist() == bits


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 0.5},
        {"presence": 0.1},
        {"frequency": 0.1},
        {"repetition": 1.1},
        {"min_tokens": 1},
        {"bias": ((1, 1.0),)},
        {"banned": ((1,),)},
        {"allowed": (1,)},
        {"logprobs": 0},
        {"grammar": True},
    ],
)
def test_only_plain_greedy_is_left_to_the_device(change: dict[str, object]) -> None:
    assert Sampling(seed=3, top_k=5, stop_ids=frozenset({1})).on_device
    assert not Sampling(**change).on_device  # type: ignore[arg-type]

"""The runner over a model whose every mistake shows: any schedule gives plain generation."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neuron.plugin.fused import ContractError, Limits
from neuron.plugin.pace import FullPace
from neuron.plugin.runner import Arrival, Batch, Runner
from neuron.plugin.sampling import Chooser, History, Sampling
from neuron.plugin.verify import verify
from tests.plugin.toy import ToyFused, toy_logits

VOCAB = 16
LIMITS = Limits(rows=4, slots=3, max_prompt=12, max_len=64, vocab=VOCAB, graphs=(1, 2, 4))
GREEDY = Sampling()
SAMPLINGS = (
    GREEDY,
    Sampling(temperature=0.8, seed=5),
    Sampling(temperature=1.2, seed=6, top_k=4, frequency=0.5),
    Sampling(logprobs=2),
    Sampling(grammar=True),
    Sampling(grammar=True, temperature=1.0, seed=8, logprobs=0),
)


def allowed_after(tokens: Sequence[int]) -> torch.Tensor:
    """A made-up grammar: a token has another parity than the one before it."""
    last = tokens[-1] if tokens else 1
    return torch.arange(VOCAB) % 2 != last % 2


class ParityMasks:
    """Like vLLM's, it knows what each request has emitted, and trusts no candidate."""

    def __init__(self, outputs: dict[str, list[int]]) -> None:
        self._outputs = outputs

    def rows(self, request_id: str, candidates: Sequence[int]) -> torch.Tensor:
        output = self._outputs[request_id]
        return torch.stack(
            [allowed_after([*output, *candidates[:i]]) for i in range(len(candidates) + 1)]
        )


def plain(prompt: Sequence[int], sampling: Sampling, count: int) -> list[int]:
    """One token at a time, straight from the logits."""
    generator = torch.Generator().manual_seed(sampling.seed or 0)
    chooser = Chooser(sampling, History(prompt), generator)
    tokens: list[int] = []
    for _ in range(count):
        row = toy_logits([*prompt, *tokens], VOCAB)[None]
        mask = allowed_after(tokens)[None] if sampling.grammar else None
        tokens += verify(row, (), chooser, limit=1, allowed=mask).tokens
    return tokens


class Bench:
    """Drives a runner as a scheduler would, with random interruptions."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.model = ToyFused(LIMITS)
        self.runner = Runner(self.model, LIMITS, FullPace(LIMITS))
        self.outputs: dict[str, list[int]] = {}
        self.asked: dict[str, Arrival] = {}
        self.running: list[str] = []
        self.finished: set[str] = set()
        self.count = 0

    def arrive(self) -> Arrival:
        prompt = [self.random.randrange(VOCAB) for _ in range(self.random.randint(1, 12))]
        arrival = Arrival(f"r{self.count}", prompt, self.random.choice(SAMPLINGS))
        self.count += 1
        self.asked[arrival.request_id] = arrival
        return arrival

    def turn(self) -> None:
        drafts = {request_id: self.random.randint(0, 3) for request_id in self.running}
        room = LIMITS.slots - len(self.running)
        arrivals = [self.arrive() for _ in range(self.random.randint(0, room))]
        finished, self.finished = self.finished, set()
        self.runner.run(Batch(finished, arrivals, drafts))
        self.running += [arrival.request_id for arrival in arrivals]
        for request_id in self.running:
            self.outputs.setdefault(request_id, [])
        before = {request_id: list(tokens) for request_id, tokens in self.outputs.items()}
        for one in self.runner.decide(ParityMasks(before)):
            assert 1 <= len(one.tokens) <= 1 + drafts.get(one.request_id, 0)
            self.outputs[one.request_id] += one.tokens
            asked = self.asked[one.request_id].sampling.logprobs
            assert len(one.logprobs) == (len(one.tokens) if asked is not None else 0)
        for request_id in list(self.running):
            if self.random.random() < 0.1 or len(self.outputs[request_id]) > 40:
                self.running.remove(request_id)
                self.finished.add(request_id)


@given(st.integers(0, 1 << 32))
@settings(max_examples=40, deadline=None)
def test_any_schedule_gives_what_plain_generation_gives(seed: int) -> None:
    bench = Bench(Random(seed))
    for _ in range(40):
        bench.turn()
    assert bench.outputs
    for request_id, tokens in bench.outputs.items():
        arrival = bench.asked[request_id]
        assert tokens == plain(arrival.prompt, arrival.sampling, len(tokens))


def runner(model: ToyFused | None = None) -> Runner:
    return Runner(model or ToyFused(LIMITS), LIMITS, FullPace(LIMITS))


def arrival(name: str, sampling: Sampling = GREEDY) -> Arrival:
    return Arrival(name, [1, 2, 3], sampling)


def test_only_those_that_ask_for_more_cost_logits() -> None:
    model = ToyFused(LIMITS)
    one = runner(model)
    one.run(Batch(arrivals=[arrival("a"), arrival("b", SAMPLINGS[1])]))
    one.decide()
    one.run(Batch(drafts={"a": 3, "b": 3}))
    one.decide()
    ((rows, feeds),) = model.steps
    assert rows == 4
    assert [feed.logits for feed in feeds] == [False, True]


def test_the_smallest_graph_that_serves_all_is_run() -> None:
    model = ToyFused(LIMITS)
    one = runner(model)
    one.run(Batch(arrivals=[arrival("a"), arrival("b")]))
    one.decide()
    for drafts in ({"a": 0, "b": 0}, {"a": 0, "b": 1}, {"a": 2, "b": 0}):
        one.run(Batch(drafts=drafts))
        one.decide()
    assert [rows for rows, _ in model.steps] == [1, 2, 4]


def test_a_finished_sequence_gives_its_slot_back_in_the_same_turn() -> None:
    model = ToyFused(LIMITS)
    one = runner(model)
    one.run(Batch(arrivals=[arrival(name) for name in "abc"]))
    one.decide()
    one.run(Batch(finished={"b", "never-came"}, arrivals=[arrival("d")]))
    assert [d.request_id for d in one.decide()] == ["d"]
    assert len(model.released) == 1


def test_more_sequences_than_slots_are_refused() -> None:
    with pytest.raises(ContractError, match="All 3 slots are taken"):
        runner().run(Batch(arrivals=[arrival(name) for name in "abcd"]))


def test_a_sequence_that_starts_again_is_refused() -> None:
    one = runner()
    one.run(Batch(arrivals=[arrival("a")]))
    with pytest.raises(ContractError, match="was it preempted"):
        one.run(Batch(arrivals=[arrival("a")]))


def test_a_grammar_waits_for_its_masks() -> None:
    one = runner()
    one.run(Batch(arrivals=[arrival("a"), arrival("g", SAMPLINGS[4])]))
    assert one.waits_for_masks
    with pytest.raises(ContractError, match="no mask came"):
        one.decide()


def test_no_grammar_waits_for_nothing() -> None:
    one = runner()
    one.run(Batch(arrivals=[arrival("a")]))
    assert not one.waits_for_masks
    assert [d.request_id for d in one.decide()] == ["a"]


def test_unseeded_requests_differ_and_follow_the_engines_seed() -> None:
    def first_tokens(seed: int) -> list[tuple[int, ...]]:
        one = Runner(ToyFused(LIMITS), LIMITS, FullPace(LIMITS), seed=seed)
        hot = Sampling(temperature=3.0)
        draws = []
        for number in range(8):
            one.run(Batch({f"r{number - 1}"}, [arrival(f"r{number}", hot)]))
            draws.append(one.decide()[0].tokens)
        return draws

    assert len(set(first_tokens(1))) > 1
    assert first_tokens(1) == first_tokens(1) != first_tokens(2)


class WatchedPace(FullPace):
    def __init__(self) -> None:
        super().__init__(LIMITS)
        self.accounts: list[tuple[str, int, int]] = []
        self.steps: list[tuple[int, int, float]] = []
        self.forgotten: list[str] = []

    def took(self, rows: int, sequences: int, seconds: float) -> None:
        self.steps.append((rows, sequences, seconds))

    def accepted(self, request_id: str, drafted: int, accepted: int) -> None:
        self.accounts.append((request_id, drafted, accepted))

    def forget(self, request_id: str) -> None:
        self.forgotten.append(request_id)


def test_the_pace_hears_what_became_of_each_step() -> None:
    pace, seconds = WatchedPace(), iter(float(i * i) for i in range(20))
    runner = Runner(ToyFused(LIMITS), LIMITS, pace, clock=lambda: next(seconds))
    hot = Sampling(temperature=1.2, seed=6)
    runner.run(Batch(arrivals=[Arrival("a", [1, 2], GREEDY), Arrival("b", [3], hot)]))
    runner.decide()
    assert pace.accounts == []
    expected: list[tuple[str, int, int]] = []
    for drafts in ({"a": 3, "b": 3}, {"a": 3, "b": 1}, {"a": 0, "b": 0}, {"b": 2}):
        runner.run(Batch(drafts=drafts))
        expected += [
            (one.request_id, drafts[one.request_id], len(one.tokens) - 1)
            for one in runner.decide()
            if drafts[one.request_id]
        ]
    assert pace.accounts == expected
    assert len({accepted for _, _, accepted in expected}) > 1
    assert pace.steps == [(4, 2, 1.0), (4, 2, 5.0), (1, 2, 9.0), (4, 1, 13.0)]
    runner.run(Batch(finished={"a"}))
    assert pace.forgotten == ["a"]

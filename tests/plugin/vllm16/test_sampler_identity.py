"""Our choice of a token against vLLM's own sampler: the same probabilities, and greedy's token."""

from __future__ import annotations

import warnings
from random import Random
from typing import Any

import pytest
import torch

from neuron.plugin.sampling import Chooser, History, Sampling, distribution
from neuron.plugin.verify import report

VOCAB = 40
PROMPT = (3, 3, 8, 20)

CASES = [
    Sampling(),
    Sampling(temperature=0.7),
    Sampling(temperature=1.3, top_k=5),
    Sampling(temperature=1.0, top_p=0.8),
    Sampling(temperature=0.9, top_k=7, top_p=0.6),
    Sampling(temperature=1.1, min_p=0.15),
    Sampling(temperature=1.0, top_k=30, top_p=0.95, min_p=0.02),
    Sampling(frequency=0.6, presence=0.4),
    Sampling(repetition=1.4),
    Sampling(temperature=1.0, repetition=0.8, frequency=0.3, presence=-0.5),
    Sampling(temperature=1.0, bias=((4, 3.0), (9, -2.0))),
    Sampling(temperature=1.0, min_tokens=12, stop_ids=frozenset({1, 2})),
    Sampling(temperature=1.0, allowed=(4, 5, 6, 7)),
    Sampling(temperature=1.0, banned=((4,), (5, 6))),
]


@pytest.fixture(scope="module")
def vllm() -> Any:  # noqa: ANN401 - modules of a package that is not there where mypy runs
    # Importing vLLM and torch warns of their own deprecated parts.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from vllm.v1.sample import logits_processor, metadata, sampler
        from vllm.v1.sample.ops import topk_topp_sampler

    modules = (logits_processor, metadata, sampler, topk_topp_sampler)
    return {module.__name__.rpartition(".")[2]: module for module in modules}


def processors(vllm: Any, sampling: Sampling, output: list[int]) -> Any:  # noqa: ANN401
    """vLLM's own three, told of one request as its input batch would."""
    from types import SimpleNamespace

    module = vllm["logits_processor"]
    config = SimpleNamespace(scheduler_config=SimpleNamespace(max_num_seqs=1))
    params = SimpleNamespace(
        min_p=sampling.min_p,
        min_tokens=sampling.min_tokens,
        all_stop_token_ids=set(sampling.stop_ids),
        logit_bias=dict(sampling.bias),
    )
    made = [
        kind(config, torch.device("cpu"), False)
        for kind in (
            module.MinTokensLogitsProcessor,
            module.LogitBiasLogitsProcessor,
            module.MinPLogitsProcessor,
        )
    ]
    update = module.BatchUpdate(
        batch_size=1, removed=[], added=[(0, params, list(PROMPT), output)], moved=[]
    )
    for one in made:
        one.update_state(update)
    return module.LogitsProcessors(made)


def metadata(vllm: Any, sampling: Sampling, output: list[int]) -> Any:  # noqa: ANN401
    allowed = None
    if sampling.allowed:
        allowed = torch.ones(1, VOCAB, dtype=torch.bool)
        allowed[0, list(sampling.allowed)] = False
    return vllm["metadata"].SamplingMetadata(
        temperature=None if sampling.greedy else torch.tensor([sampling.temperature]),
        all_greedy=sampling.greedy,
        all_random=not sampling.greedy,
        top_p=torch.tensor([sampling.top_p]) if sampling.top_p < 1 else None,
        top_k=torch.tensor([sampling.top_k]) if sampling.top_k else None,
        generators={0: torch.Generator()},
        max_num_logprobs=3,
        no_penalties=not sampling.penalised,
        prompt_token_ids=torch.tensor([PROMPT]),
        frequency_penalties=torch.tensor([sampling.frequency]),
        presence_penalties=torch.tensor([sampling.presence]),
        repetition_penalties=torch.tensor([sampling.repetition]),
        output_token_ids=[output],
        allowed_token_ids_mask=allowed,
        bad_words_token_ids={0: [list(word) for word in sampling.banned]},
        logitsprocs=processors(vllm, sampling, output),
    )


def probabilities(vllm: Any, row: torch.Tensor, told: Any) -> torch.Tensor:  # noqa: ANN401
    """[vocab] of vLLM's sampler, which goes through these steps before it draws."""
    sampler = vllm["sampler"].Sampler()
    logits = sampler.apply_logits_processors(row[None].clone(), told, False)
    logits = sampler.apply_temperature(logits, told.temperature, True)
    for processor in told.logitsprocs.argmax_invariant:
        logits = processor.apply(logits)
    logits = vllm["topk_topp_sampler"].apply_top_k_top_p(logits, told.top_k, told.top_p)
    result: torch.Tensor = logits.softmax(dim=-1)[0]
    return result


@pytest.mark.parametrize("sampling", CASES, ids=lambda one: str(CASES.index(one)))
def test_the_same_probabilities_and_greedy_token(vllm: Any, sampling: Sampling) -> None:  # noqa: ANN401
    random = Random(0)
    chooser = Chooser(sampling, History(PROMPT), torch.Generator().manual_seed(11))
    for _ in range(40):
        noise = torch.Generator().manual_seed(random.randrange(1 << 30))
        row = torch.randn(VOCAB, generator=noise) * 3
        told = metadata(vllm, sampling, chooser.history.output)
        token = chooser.choose(row)
        if sampling.greedy:
            theirs = vllm["sampler"].Sampler()(row[None].clone(), told)
            assert token == int(theirs.sampled_token_ids[0, 0])
            reported = theirs.logprobs_tensors
            got = report(row, token, 3)
            assert got.tokens.tolist() == reported.logprob_token_ids[0].tolist()
            torch.testing.assert_close(got.values, reported.logprobs[0])
            assert got.rank == int(reported.selected_token_ranks[0])
        else:
            tokens, ours = distribution(chooser.constrained(row), sampling)
            dense = torch.zeros(VOCAB, dtype=torch.float64)
            dense[slice(None) if tokens is None else tokens] = ours
            torch.testing.assert_close(dense.float(), probabilities(vllm, row, told))
        chooser.history.add(token)

"""Sampling through the whole engine: the target's own distribution, and a seed's own tokens."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from neuron.plugin.sampling import Chooser, History, Sampling
from tests.engine.draws import percentiles, softmax
from tests.plugin.models import Plain, prompts
from tests.plugin.vllm16.engine import Answer, Engine, body, client, complete_all

pytestmark = pytest.mark.anyio

DRAWS = 400
TOKENS = 8
BINS = 20
# The seeds are fixed, so a pass stays a pass; the level only says how surprising a failure is.
LEVEL = 1e-4


def target_logits(plain: Plain, prompt: list[int], answers: list[Answer]) -> Any:  # noqa: ANN401
    """[draws, tokens, vocab]"""
    rows = [plain.logits([*prompt, *answer.tokens])[len(prompt) - 1 : -1] for answer in answers]
    return torch.stack(rows).double().numpy()


def uniform_p(values: Any) -> float:  # noqa: ANN401
    counts, _ = np.histogram(values, bins=BINS, range=(0.0, 1.0))
    return float(stats.chisquare(counts).pvalue)


class _Drawn:
    """What `percentiles` reads of a draw."""

    def __init__(self, answer: Answer) -> None:
        self.tokens = answer.tokens


@pytest.mark.parametrize(("task", "temperature"), [("hex", 1.0), ("prose", 1.3), ("prose", 0.6)])
async def test_the_draws_are_the_targets(
    engine: Engine, plain: Plain, task: str, temperature: float
) -> None:
    before = engine.spec_decode()
    (prompt,) = prompts(1, task)
    sampling = {"temperature": temperature, "max_tokens": TOKENS, "ignore_eos": True}
    answers = await complete_all(
        engine, [body(prompt, **sampling, seed=number) for number in range(DRAWS)]
    )
    # Otherwise nothing of this would be about speculation.
    accepted = engine.spec_decode()["accepted_tokens"] - before["accepted_tokens"]
    assert accepted > DRAWS / 20

    rng = np.random.default_rng(0)
    drawn: Any = [_Drawn(answer) for answer in answers]
    logits = target_logits(plain, prompt, answers)
    right = percentiles(drawn, softmax(logits, temperature), rng)
    p_values = [uniform_p(right[:, position]) for position in range(TOKENS)]
    assert min(p_values) > LEVEL / TOKENS, p_values

    # The same draws against a slightly colder target must fail, or the test has no power.
    colder = percentiles(drawn, softmax(logits, 0.75 * temperature), rng)
    assert uniform_p(colder) < LEVEL


FIELDS: list[dict[str, Any]] = [
    {"temperature": 1.0},
    {"temperature": 1.3, "top_k": 20},
    {"temperature": 1.0, "top_p": 0.9},
    {"temperature": 1.2, "min_p": 0.05},
    {"temperature": 0.8, "frequency_penalty": 0.5, "presence_penalty": 0.3},
    {"temperature": 0.9, "repetition_penalty": 1.2},
    {"temperature": 0.0, "frequency_penalty": 0.8},
    {"temperature": 0.0, "min_tokens": 20},
    {"temperature": 1.0, "logit_bias": {"300": 4.0}},
    {"temperature": 1.0, "allowed_token_ids": list(range(300, 400))},
]


def expected(plain: Plain, prompt: list[int], fields: dict[str, Any], seed: int) -> list[int]:
    """Plain sampling, the whole sequence anew for each token."""
    names = {"frequency_penalty": "frequency", "presence_penalty": "presence"}
    names |= {"repetition_penalty": "repetition", "allowed_token_ids": "allowed"}
    known = {names.get(key, key): value for key, value in fields.items()}
    if "logit_bias" in known:
        known["bias"] = tuple((int(k), v) for k, v in known.pop("logit_bias").items())
    if "allowed" in known:
        known["allowed"] = tuple(known["allowed"])
    sampling = Sampling(seed=seed, stop_ids=frozenset({0, 2}), **known)
    generator = torch.Generator().manual_seed(seed)
    chooser = Chooser(sampling, History(prompt), generator)
    for _ in range(24):
        row = plain.logits([*prompt, *chooser.history.output])[-1]
        chooser.history.add(chooser.choose(row))
        if chooser.history.output[-1] in (0, 2):
            break
    return chooser.history.output


@pytest.mark.parametrize("fields", FIELDS, ids=lambda fields: "-".join(fields))
async def test_a_seed_gives_plain_samplings_tokens(
    engine: Engine, plain: Plain, fields: dict[str, Any]
) -> None:
    chosen = [prompts(1, task)[0] for task in ("hex", "prose", "json_record", "sql")]
    # In one batch with one another: neighbours must not matter.
    answers = await complete_all(
        engine,
        [body(prompt, max_tokens=24, seed=seed, **fields) for seed, prompt in enumerate(chosen)],
    )
    for seed, (prompt, answer) in enumerate(zip(chosen, answers, strict=True)):
        assert list(answer.tokens) == expected(plain, prompt, fields, seed)


async def test_unseeded_requests_differ(engine: Engine) -> None:
    (prompt,) = prompts(1, "hex")
    answers = await complete_all(engine, [body(prompt, temperature=1.0) for _ in range(6)])
    assert len({answer.tokens for answer in answers}) > 1


async def test_several_choices_of_one_request(engine: Engine) -> None:
    (prompt,) = prompts(1, "hex")
    async with client(engine) as upstream:
        request = body(prompt, temperature=1.0, n=3, seed=4)
        choices = (await upstream.post("/v1/completions", json=request)).json()["choices"]
    assert len({choice["text"] for choice in choices}) == 3


async def test_logprobs_are_the_targets(engine: Engine, plain: Plain) -> None:
    (prompt,) = prompts(1, "json_extract")
    greedy, hot = await complete_all(
        engine,
        [
            body(prompt, max_tokens=20, logprobs=3),
            body(prompt, max_tokens=20, logprobs=1, temperature=1.0, seed=3),
        ],
    )
    for answer in (greedy, hot):
        assert answer.logprobs is not None
        rows = plain.logits([*prompt, *answer.tokens])[len(prompt) - 1 : -1].log_softmax(dim=-1)
        own = rows.gather(1, torch.tensor(answer.tokens)[:, None])[:, 0]
        got = torch.tensor(answer.logprobs["token_logprobs"])
        torch.testing.assert_close(got, own, atol=1e-3, rtol=1e-3)
    assert all(len(top) == 3 for top in greedy.logprobs["top_logprobs"])  # type: ignore[index]
    best = [max(top.values()) for top in greedy.logprobs["top_logprobs"]]  # type: ignore[index]
    assert greedy.logprobs["token_logprobs"] == pytest.approx(best)  # type: ignore[index]

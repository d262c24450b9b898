"""Sampling with speculation, through the engine's own HTTP. Fails without neuron.cpu_sampling:
temperature then gives garbage (acceptance 0, distribution far off) and top_k ends the engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import numpy as np
import pytest
from scipy import stats

from neuron.local.build import WEIGHTS
from neuron.local.corpus import STRUCTURED, held_out
from neuron.pair import Pair
from tests.engine.conftest import Engine, running_engine
from tests.engine.draws import Draw, Floats, draw_many, percentiles, softmax, target_logits

pytestmark = pytest.mark.anyio

# Sampled text leaves the likeliest path, where the draft agrees most, so some loss is right.
# Without the repair the acceptance length is exactly 1.
NEAR_GREEDY = {0.7: 0.8, 1.0: 0.7}
DRAWS = 600
TOKENS = 8
AT_ONCE = 32
BINS = 20
# The seeds are fixed, so a pass stays a pass; the level only says how surprising a failure is.
LEVEL = 1e-4


def body(task: str, number: int = 0, /, **fields: object) -> dict[str, object]:
    example = held_out(task, number + 1)[number]
    messages: list[Mapping[str, str]] = list(example.messages)
    tools = {"tools": list(example.tools), "tool_choice": "none"} if example.tools else {}
    return {"messages": messages, "max_tokens": 96, **tools, **fields}


async def ask(engine: Engine, *bodies: dict[str, object]) -> list[Draw]:
    return await draw_many(engine.base_url, engine.model, bodies, at_once=4)


def acceptance_length(draws: list[Draw]) -> float:
    return 1 + sum(draw.accepted for draw in draws) / sum(draw.steps for draw in draws)


async def test_sampled_acceptance_is_near_greedys(spec_engine: Engine) -> None:
    lengths = {}
    for temperature in (0.0, *NEAR_GREEDY):
        prompts = [
            body(task, number, temperature=temperature) for task in STRUCTURED for number in (0, 1)
        ]
        lengths[temperature] = acceptance_length(await ask(spec_engine, *prompts))
    for temperature, share in NEAR_GREEDY.items():
        assert lengths[temperature] >= share * lengths[0.0], lengths


@pytest.mark.parametrize("cut", [{"top_k": 1}, {"top_p": 1e-6}, {"top_k": 1, "top_p": 0.5}])
async def test_a_cut_to_one_token_is_greedy(spec_engine: Engine, cut: dict[str, float]) -> None:
    tasks = ("sql", "json_extract", "hex", "prose")
    greedy = await ask(spec_engine, *(body(task, temperature=0.0) for task in tasks))
    cut_down = await ask(spec_engine, *(body(task, temperature=1.0, **cut) for task in tasks))
    assert [draw.tokens for draw in cut_down] == [draw.tokens for draw in greedy]


async def test_top_k_draws_from_the_k_likeliest(spec_engine: Engine) -> None:
    asked = {"temperature": 1.5, "top_k": 5, "logprobs": True, "top_logprobs": 5}
    draws = await ask(
        spec_engine, *(body("hex", temperature_seed, **asked) for temperature_seed in range(4))
    )
    for draw in draws:
        assert all(token in top for token, top in zip(draw.chosen, draw.top, strict=True))
    assert len({draw.tokens for draw in draws}) > 1


async def test_a_seed_repeats_and_another_differs(spec_engine: Engine) -> None:
    seeds = (11, 11, 12)
    # One at a time: the batch must not be what makes them equal or different.
    draws = [(await ask(spec_engine, body("hex", temperature=1.0, seed=seed)))[0] for seed in seeds]
    assert draws[0].tokens == draws[1].tokens != draws[2].tokens


async def test_greedy_and_sampled_share_a_batch(spec_engine: Engine) -> None:
    alone = await ask(spec_engine, body("sql", temperature=0.0))
    mixed = [
        body("sql", temperature=0.0),
        *(body("hex", temperature=1.0, top_k=20) for _ in range(3)),
    ]
    together = await ask(spec_engine, *mixed)
    assert together[0].text == alone[0].text


@pytest.fixture(scope="module")
def small_engine(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The target as trained, before it is made costly: many draws at once are then cheap."""
    small = pair.model_copy(update={"max_num_seqs": AT_ONCE}).with_models(target=str(trained()))
    with running_engine(small, tmp_path_factory.mktemp("small"), plain=False) as engine:
        yield engine


def trained() -> Path:
    return WEIGHTS / "target"


@pytest.mark.parametrize("seeded", [True, False], ids=["seeded", "unseeded"])
@pytest.mark.parametrize(("task", "temperature"), [("hex", 1.0), ("prose", 1.3)])
async def test_the_draws_are_the_targets(
    small_engine: Engine, task: str, temperature: float, seeded: bool
) -> None:
    sampling = {"temperature": temperature, "max_tokens": TOKENS, "ignore_eos": True}
    seeds: list[dict[str, int]] = [{"seed": number} if seeded else {} for number in range(DRAWS)]
    bodies = [body(task, **sampling, **seed) for seed in seeds]
    draws = await draw_many(small_engine.base_url, small_engine.model, bodies, at_once=AT_ONCE)
    # Otherwise nothing of this would be about speculation.
    assert sum(draw.accepted for draw in draws) > DRAWS / 10

    rng = np.random.default_rng(0)
    logits = target_logits(trained(), draws)
    right = percentiles(draws, softmax(logits, temperature), rng)
    p_values = [uniform_p(right[:, position]) for position in range(TOKENS)]
    assert min(p_values) > LEVEL / TOKENS, p_values

    # The same draws against a slightly colder target must fail, or the test has no power.
    colder = percentiles(draws, softmax(logits, 0.8 * temperature), rng)
    assert uniform_p(colder) < LEVEL


def uniform_p(values: Floats) -> float:
    counts, _ = np.histogram(values, bins=BINS, range=(0.0, 1.0))
    return float(stats.chisquare(counts).pvalue)


async def test_the_engine_is_still_there(spec_engine: Engine) -> None:
    async with httpx.AsyncClient(base_url=spec_engine.base_url, trust_env=False) as client:
        assert (await client.get("/health")).status_code == httpx.codes.OK

"""vLLM takes an aligned pair, and its drafts are accepted as before."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import httpx
import pytest

from neuron.align import align
from neuron.local.build import WEIGHTS
from neuron.local.corpus import STRUCTURED, held_out
from neuron.local.quality import Answer, acceptance_length, ask_all
from neuron.models import vocab_size
from neuron.pair import Pair
from tests.engine.conftest import Engine, running_engine
from tests.engine.test_pair import MIN_ACCEPTANCE_LENGTH, MIN_EXACT, PROMPTS_PER_TASK, share

ROWS = 3200


@pytest.fixture(scope="module")
def aligned_pair(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Both of the committed models, padded alike: no two of them differ by themselves."""
    folder = tmp_path_factory.mktemp("aligned")
    wanted = folder / "wanted"
    shutil.copytree(WEIGHTS / "target", wanted)
    config = json.loads((wanted / "config.json").read_text())
    (wanted / "config.json").write_text(json.dumps({**config, "vocab_size": ROWS}))
    for part in ("target", "draft"):
        align(WEIGHTS / part, wanted, folder / part)
    return pair.with_models(target=str(folder / "target"), draft=str(folder / "draft"))


def answers(engine: Engine) -> list[Answer]:
    examples = [e for task in STRUCTURED for e in held_out(task, PROMPTS_PER_TASK)]

    async def run() -> list[Answer]:
        async with httpx.AsyncClient(base_url=engine.base_url, trust_env=False) as client:
            return await ask_all(client, engine.model, examples)

    return asyncio.run(run())


def test_the_engine_serves_it_and_accepts_as_much(
    aligned_pair: Pair, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert aligned_pair.draft is not None
    assert vocab_size(Path(aligned_pair.draft)) == ROWS
    with running_engine(aligned_pair, tmp_path_factory.mktemp("engine"), plain=False) as engine:
        given = answers(engine)
    length = acceptance_length(given)
    assert length is not None
    assert length >= MIN_ACCEPTANCE_LENGTH
    assert share(given, lambda answer: answer.outcome.exact) >= MIN_EXACT

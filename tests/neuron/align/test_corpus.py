"""The bundled draft with 3200 rows instead of 3072, on held-out prompts of every task."""

from __future__ import annotations

import shutil

import pytest
import torch
from transformers import AutoModelForCausalLM

from neuron.align import Alignment, align
from neuron.local.corpus import TASKS
from tests.neuron.align.folders import write_target
from tests.plugin.models import DRAFT, prompts

ROWS, PADDED = 3072, 3200
PROMPTS_PER_TASK = 2


@pytest.fixture(scope="module")
def aligned(tmp_path_factory: pytest.TempPathFactory) -> Alignment:
    folder = tmp_path_factory.mktemp("corpus")
    target = write_target(folder / "target", PADDED)
    shutil.copyfile(DRAFT / "tokenizer.json", target / "tokenizer.json")
    return align(DRAFT, target, folder / "out")


def test_greedy_tokens_are_the_same_and_no_padded_id_comes_near(aligned: Alignment) -> None:
    old, new = (
        AutoModelForCausalLM.from_pretrained(folder).eval() for folder in (DRAFT, aligned.out)
    )
    assert aligned.leaked_at_most is not None
    distances, held = [], []
    for task in TASKS:
        for prompt in prompts(PROMPTS_PER_TASK, task):
            ids = torch.tensor([prompt])
            ours, theirs = (
                model.generate(ids, max_new_tokens=64, do_sample=False) for model in (old, new)
            )
            assert torch.equal(ours, theirs), task
            with torch.inference_mode():
                logits = new(theirs).logits[0].double()
            distances.append(logits[:, :ROWS].amax(dim=1) - logits[:, ROWS:].amax(dim=1))
            held.append(logits.softmax(dim=1)[:, ROWS:].sum(dim=1))
    positions = torch.cat(distances)
    assert len(positions) > 100 * len(TASKS)
    assert positions.min().item() > 1
    assert torch.cat(held).max().item() < aligned.leaked_at_most

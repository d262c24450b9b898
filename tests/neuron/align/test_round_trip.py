"""transformers loads what was written, and the model says what it said."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from neuron.align import align
from tests.neuron.align.folders import EMBEDDING, HEAD, write_qwen, write_target, written

SMALL, LARGE = 151_936, 152_064
WHOLE, SHARDED = "1GB", "3MB"


def load(folder: Path) -> AutoModelForCausalLM:
    model, told = AutoModelForCausalLM.from_pretrained(
        folder, dtype="auto", output_loading_info=True
    )
    assert not any(told[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    return model.eval()


@pytest.mark.parametrize(
    ("before", "after", "kind", "tied", "dtype", "shard"),
    [
        (SMALL, LARGE, "qwen2", True, torch.bfloat16, WHOLE),
        (SMALL, LARGE, "qwen2", True, torch.float32, SHARDED),
        (SMALL, LARGE, "qwen2", False, torch.bfloat16, SHARDED),
        (SMALL, LARGE, "qwen3", False, torch.float16, WHOLE),
        (LARGE, SMALL, "qwen2", False, torch.float32, WHOLE),
        (LARGE, SMALL, "qwen2", True, torch.bfloat16, SHARDED),
    ],
)
def test_transformers_loads_it_and_every_logit_is_as_before(
    before: int,
    after: int,
    kind: str,
    tied: bool,
    dtype: torch.dtype,
    shard: str,
    tmp_path: Path,
) -> None:
    draft = write_qwen(tmp_path / "d", before, tied=tied, dtype=dtype, shard=shard, kind=kind)
    done = align(draft, write_target(tmp_path / "t", after), tmp_path / "out")
    both = min(before, after)
    old, new = written(draft), written(tmp_path / "out")
    assert old.keys() == new.keys()
    for name, tensor in old.items():
        rows = both if name in (EMBEDDING, HEAD) else len(tensor)
        assert torch.equal(new[name][:rows], tensor[:rows]), name
    files = {path.name for path in draft.glob("*.safetensors*")}
    assert {path.name for path in (tmp_path / "out").glob("*.safetensors*")} == files
    assert (len(files) > 2) == (shard == SHARDED)
    assert done.sha256.keys() == {name for name in files if name.endswith(".safetensors")}

    models = load(draft), load(tmp_path / "out")
    assert models[1].config.vocab_size == after
    assert models[1].dtype == dtype
    prompt = torch.randint(0, both, (4, 24), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        ours, theirs = (model(prompt).logits for model in models)
    assert theirs.shape[-1] == after
    # Rows of one product may be summed in another order when there are more of them.
    assert torch.allclose(ours[..., :both].float(), theirs[..., :both].float(), atol=2e-2)
    if after > before:
        assert done.padded_rows == "mean"
        padded = theirs[..., before:].amax(dim=-1)
        assert (padded < theirs[..., :before].amax(dim=-1)).all()
    answers = [
        model.generate(prompt[:, :8], max_new_tokens=16, do_sample=False) for model in models
    ]
    assert torch.equal(*answers)


def test_padding_and_cutting_again_gives_the_draft_back(tmp_path: Path) -> None:
    draft = write_qwen(
        tmp_path / "d", SMALL, tied=True, dtype=torch.bfloat16, shard=SHARDED, kind="qwen2"
    )
    align(draft, write_target(tmp_path / "t1", LARGE), tmp_path / "larger")
    align(tmp_path / "larger", write_target(tmp_path / "t2", SMALL), tmp_path / "again")
    index = "model.safetensors.index.json"
    assert (tmp_path / "again" / index).read_text().split() == (draft / index).read_text().split()
    old, new = written(draft), written(tmp_path / "again")
    assert old.keys() == new.keys()
    assert all(torch.equal(old[name], new[name]) for name in old)

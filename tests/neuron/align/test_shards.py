"""Files of weights: bounded memory, bytes that do not change, and files that are not whole."""

from __future__ import annotations

import json
import shutil
import tracemalloc
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from neuron.align import align
from neuron.errors import ModelNotFoundError, PairError
from tests.neuron.align.folders import EMBEDDING, HEAD, write_draft, write_target, written

INDEX = "model.safetensors.index.json"
SHARD_BYTES = 32 * 2**20
NORM = "model.norm.weight"


def sharded(folder: Path, **files: dict[str, torch.Tensor]) -> Path:
    """Each file by its tensors; the index as transformers writes it."""
    draft = write_draft(folder / "draft", torch.zeros(60, 6))
    (draft / "model.safetensors").unlink()
    places: dict[str, str] = {}
    for name, tensors in files.items():
        save_file(tensors, draft / f"{name}.safetensors", metadata={"format": "pt"})
        places |= dict.fromkeys(tensors, f"{name}.safetensors")
    sizes = [t.nbytes for tensors in files.values() for t in tensors.values()]
    index = {"metadata": {"total_size": sum(sizes), "kept": "yes"}, "weight_map": places}
    (draft / INDEX).write_text(json.dumps(index))
    return draft


def test_only_the_shards_of_the_vocabulary_change(tmp_path: Path) -> None:
    draft = sharded(
        tmp_path,
        a={EMBEDDING: torch.randn(60, 6, dtype=torch.bfloat16), NORM: torch.ones(3)},
        b={"model.layers.0.mlp.up_proj.weight": torch.randn(60, 6)},
        c={"scales": torch.randint(0, 9, (5, 7), dtype=torch.int32)},
    )
    out = tmp_path / "out"
    align(draft, write_target(tmp_path / "target", 64), out)
    for name in ("b.safetensors", "c.safetensors"):
        assert (out / name).read_bytes() == (draft / name).read_bytes()
    old, new = (json.loads((folder / INDEX).read_text()) for folder in (draft, out))
    assert new["weight_map"] == old["weight_map"]
    assert new["metadata"] == {
        "total_size": old["metadata"]["total_size"] + 4 * 6 * 2,
        "kept": "yes",
    }
    with safe_open(out / "a.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}
        assert file.get_tensor(EMBEDDING).shape == (64, 6)
        assert torch.equal(file.get_tensor(NORM), torch.ones(3))


@pytest.mark.parametrize("rows", [131_200, 130_900])
def test_memory_stays_below_one_shard(rows: int, tmp_path: Path) -> None:
    """Four shards of 32 MiB. What Python and numpy allocate is traced, and its peak is held against
    one shard; a reader of whole tensors would hold 32 MiB at least, one of the checkpoint 128."""
    whole = torch.zeros(SHARD_BYTES // 256, 64)
    draft = sharded(tmp_path, a={EMBEDDING: whole}, b={"x": whole}, c={"y": whole}, d={"z": whole})
    (draft / "config.json").write_text(
        json.dumps({"vocab_size": len(whole), "tie_word_embeddings": True})
    )
    target = write_target(tmp_path / "target", rows)
    tracemalloc.start()
    try:
        align(draft, target, tmp_path / "out")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    for folder in (draft, tmp_path / "out"):
        shutil.rmtree(folder)
    assert peak < 0.75 * SHARD_BYTES


def test_a_stored_copy_of_a_tied_head_is_padded_too(tmp_path: Path) -> None:
    matrix = torch.randn(60, 6)
    draft = sharded(tmp_path, a={EMBEDDING: matrix}, b={HEAD: matrix.clone()})
    align(draft, write_target(tmp_path / "target", 64), tmp_path / "out")
    new = written(tmp_path / "out")
    assert new[HEAD].shape == (64, 6)
    assert torch.equal(new[EMBEDDING], new[HEAD])


def length_of(length: int) -> bytes:
    return length.to_bytes(8, "little")


@pytest.mark.parametrize("cut", [0, 5, 8, 40, -1])
def test_a_download_that_broke_off_is_one_sentence(cut: int, tmp_path: Path) -> None:
    draft = write_draft(tmp_path / "draft", torch.randn(60, 6))
    path = draft / "model.safetensors"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ModelNotFoundError, match="not a whole safetensors file"):
        align(draft, write_target(tmp_path / "target", 64), tmp_path / "out")


@pytest.mark.parametrize(
    "header",
    [
        '["no object"]',
        '{"x": 1}',
        '{"x": {"dtype": "F32"}}',
        "\x00",
        '{"x": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}',
    ],
)
def test_a_header_of_another_kind_is_one_sentence(header: str, tmp_path: Path) -> None:
    draft = write_draft(tmp_path / "draft", torch.randn(60, 6))
    text = header.encode()
    (draft / "model.safetensors").write_bytes(length_of(len(text)) + text + bytes(8))
    with pytest.raises(ModelNotFoundError, match="not a whole safetensors file"):
        align(draft, write_target(tmp_path / "target", 64), tmp_path / "out")


@pytest.mark.parametrize(
    ("file", "part"),
    [
        ("../draft/a.safetensors", "names no files of weights"),
        (7, "names no files of weights"),
        ("b.safetensors", "b.safetensors cannot be read"),
    ],
)
def test_an_index_that_points_elsewhere_is_refused(file: object, part: str, tmp_path: Path) -> None:
    draft = sharded(tmp_path, a={EMBEDDING: torch.randn(60, 6)})
    (draft / INDEX).write_text(json.dumps({"weight_map": {EMBEDDING: file}}))
    with pytest.raises(ModelNotFoundError, match=part):
        align(draft, write_target(tmp_path / "target", 64), tmp_path / "out")


def test_an_index_and_shards_that_disagree_are_refused(tmp_path: Path) -> None:
    draft = sharded(tmp_path, a={EMBEDDING: torch.randn(60, 6)}, b={NORM: torch.ones(3)})
    target = write_target(tmp_path / "target", 64)
    index = json.loads((draft / INDEX).read_text())
    index["weight_map"]["model.gone"] = "b.safetensors"
    (draft / INDEX).write_text(json.dumps(index))
    with pytest.raises(ModelNotFoundError, match=r"says that model\.gone is in b"):
        align(draft, target, tmp_path / "out")
    save_file({EMBEDDING: torch.randn(60, 6)}, draft / "b.safetensors")
    with pytest.raises(PairError, match="a tensor of the same name"):
        align(draft, target, tmp_path / "out")


@pytest.mark.parametrize("text", ["[1]", "{"])
def test_an_index_that_is_no_object_is_refused(text: str, tmp_path: Path) -> None:
    draft = sharded(tmp_path, a={EMBEDDING: torch.randn(60, 6)})
    (draft / INDEX).write_text(text)
    with pytest.raises(ModelNotFoundError, match="download it again"):
        align(draft, write_target(tmp_path / "target", 64), tmp_path / "out")


def test_bytes_that_are_not_the_shape_are_refused(tmp_path: Path) -> None:
    draft = write_draft(tmp_path / "draft", torch.randn(60, 6))
    entry = {EMBEDDING: {"dtype": "F32", "shape": [60, 6], "data_offsets": [0, 8]}}
    text = json.dumps(entry).encode()
    (draft / "model.safetensors").write_bytes(length_of(len(text)) + text + bytes(8))
    with pytest.raises(ModelNotFoundError, match="more or fewer bytes than its shape"):
        align(draft, write_target(tmp_path / "target", 64), tmp_path / "out")


def test_progress_ends_at_all_of_it(tmp_path: Path) -> None:
    draft = write_draft(tmp_path / "draft", torch.randn(60, 6), inputs=torch.randn(60, 6))
    seen: list[tuple[int, int]] = []
    align(
        draft,
        write_target(tmp_path / "target", 64),
        tmp_path / "out",
        lambda done, total: seen.append((done, total)),
    )
    # Both matrices and a norm of 7 are copied, the head is read twice before, the other one once.
    matrix, norm = 60 * 6 * 4, 7 * 4
    total = 5 * matrix + norm
    assert seen[-1] == (total, total)
    assert {each for _, each in seen} == {total}
    assert [each for each, _ in seen] == sorted({each for each, _ in seen})

"""A model folder: its config, its safetensors and the matrices that have a row per id."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuron.align.rows import ITEM_BYTES
from neuron.align.shard import Shard, Tensor, read_shard
from neuron.errors import ModelNotFoundError, PairError
from neuron.models import vocab_size

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
EMBEDDING = "model.embed_tokens.weight"
HEAD = "lm_head.weight"


@dataclass(frozen=True)
class Checkpoint:
    folder: Path
    config: dict[str, Any]
    vocab: int
    """Rows of the embedding and of the head, unused ones included."""
    shards: tuple[Shard, ...]
    index: dict[str, Any] | None
    """None: one file, without an index."""
    head: Tensor
    """[vocab, hidden]; the embedding itself where they are tied."""
    inputs: tuple[Tensor, ...]
    """An input matrix of its own, where they are not tied."""
    copies: tuple[Tensor, ...]
    """A tied head that is stored although it is the embedding: loaders may compare the two."""

    @property
    def nbytes(self) -> int:
        """Of all tensors."""
        return sum(shard.size - shard.data_begin for shard in self.shards)


def open_checkpoint(folder: Path) -> Checkpoint:
    """Reads headers, no weights. Raises PairError and ModelNotFoundError."""
    vocab = vocab_size(folder)
    config = _json(folder / "config.json")
    index = _json(folder / INDEX) if (folder / INDEX).is_file() else None
    shards = tuple(read_shard(folder / name) for name in _files(folder, index))
    tensors = {tensor.name: tensor for shard in shards for tensor in shard.tensors}
    _check_index(folder, index, shards, tensors)
    tied = config.get("tie_word_embeddings", False) is True
    wanted = (EMBEDDING,) if tied and HEAD not in tensors else (EMBEDDING, HEAD)
    for name in wanted:
        _check_matrix(folder, name, tensors.get(name), vocab)
    for name in tensors:
        if name.startswith("lm_head.") and name != HEAD:
            raise PairError(
                f"The draft in {folder} has a tensor {name}, and only heads of one plain matrix "
                f"{HEAD} can be aligned: take the draft before it was quantised."
            )
    head = tensors[EMBEDDING if tied else HEAD]
    others = tuple(tensors[name] for name in wanted if name != head.name)
    inputs, copies = ((), others) if tied else (others, ())
    for copy in copies:
        if (copy.dtype, copy.shape) != (head.dtype, head.shape):
            raise PairError(
                f"The draft in {folder} is tied, and yet its {copy.name} is of another kind than "
                f"its {head.name}: set tie_word_embeddings to what it is, or remove the one."
            )
    return Checkpoint(folder, config, vocab, shards, index, head, inputs, copies)


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelNotFoundError(f"{path} cannot be read as JSON: download it again.") from error
    if not isinstance(content, dict):
        raise ModelNotFoundError(f"{path} holds no JSON object: download it again.")
    return content


def _files(folder: Path, index: dict[str, Any] | None) -> list[str]:
    single = (folder / WEIGHTS).is_file()
    if index is None:
        if single:
            return [WEIGHTS]
        raise PairError(
            f"The draft in {folder} has neither {WEIGHTS} nor {INDEX}, and other weights (.bin "
            "among them) are not read: save it with save_pretrained of transformers first."
        )
    if single:
        raise PairError(
            f"The draft in {folder} has both {WEIGHTS} and {INDEX}, and engines differ in which "
            "they load: remove one."
        )
    places = index.get("weight_map")
    names = list(places.values()) if isinstance(places, dict) else []
    # A name with a folder in it would be written outside the new folder.
    if not names or not all(isinstance(n, str) and n == Path(n).name for n in names):
        raise ModelNotFoundError(f"{folder / INDEX} names no files of weights: download it again.")
    return sorted(set(names))


def _check_index(
    folder: Path,
    index: dict[str, Any] | None,
    shards: tuple[Shard, ...],
    tensors: dict[str, Tensor],
) -> None:
    if sum(len(shard.tensors) for shard in shards) != len(tensors):
        raise PairError(f"Two files of weights in {folder} hold a tensor of the same name.")
    if index is None:
        return
    for name, file in index["weight_map"].items():
        if name not in tensors or tensors[name].path.name != file:
            raise ModelNotFoundError(
                f"{folder / INDEX} says that {name} is in {file}, and it is not: "
                "download the weights again."
            )


def _check_matrix(folder: Path, name: str, matrix: Tensor | None, vocab: int) -> None:
    if matrix is None:
        raise PairError(
            f"The draft in {folder} has no tensor {name}: only models that name their matrices as "
            "Qwen2 and Qwen3 do can be aligned."
        )
    if len(matrix.shape) != 2 or matrix.shape[0] != vocab or matrix.shape[1] < 1:
        raise PairError(
            f"{name} in {folder} has the shape {list(matrix.shape)}, but config.json says "
            f"vocab_size {vocab}: one row for each was expected."
        )
    if matrix.dtype not in ITEM_BYTES:
        raise PairError(
            f"{name} in {folder} has the dtype {matrix.dtype}, and only {', '.join(ITEM_BYTES)} "
            "can be aligned: take the draft before it was quantised."
        )
    if matrix.nbytes != vocab * matrix.shape[1] * ITEM_BYTES[matrix.dtype]:
        raise ModelNotFoundError(
            f"{name} in {folder} has more or fewer bytes than its shape: download it again."
        )

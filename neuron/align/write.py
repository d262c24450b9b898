"""Shards and their index, written again with some matrices longer or shorter."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from neuron.align.rows import CHUNK, Advance
from neuron.align.shard import METADATA, Shard, Tensor, read_shard


@dataclass(frozen=True)
class Resized:
    """The matrix `tensor` [n, d] with `rows` rows: cut, or with `fill` as each further row."""

    tensor: Tensor
    rows: int
    fill: bytes
    """Bytes of one row; empty where nothing is added."""

    @property
    def nbytes(self) -> int:
        return self.tensor.nbytes // self.tensor.shape[0] * self.rows

    @property
    def more_elements(self) -> int:
        """Negative where rows are cut."""
        return (self.rows - self.tensor.shape[0]) * self.tensor.shape[1]


def write_shard(shard: Shard, out: Path, resized: Mapping[str, Resized], advance: Advance) -> str:
    """Copies a shard in chunks, the matrices in `resized` changed, every other byte as it is.

    Returns the sha256 of the source, in hexadecimal. Raises OSError.
    """
    digest = hashlib.sha256()
    with shard.path.open("rb") as source, out.open("xb") as sink:
        header = source.read(shard.data_begin)
        digest.update(header)
        changed = any(tensor.name in resized for tensor in shard.tensors)
        sink.write(_header(shard, resized) if changed else header)
        for tensor in shard.tensors:
            new = resized.get(tensor.name)
            kept = tensor.nbytes if new is None else min(tensor.nbytes, new.nbytes)
            for chunk in _chunks(source, tensor.nbytes):
                digest.update(chunk)
                sink.write(chunk[:kept])
                kept = max(0, kept - len(chunk))
                advance(len(chunk))
            if new is not None:
                for _ in range(new.rows - tensor.shape[0]):
                    sink.write(new.fill)
    read_shard(out)
    return digest.hexdigest()


def resized_index(index: Mapping[str, Any], resized: Mapping[str, Resized]) -> dict[str, Any]:
    """The index of the new shards: the same files, other totals."""
    new = copy.deepcopy(dict(index))
    totals = new.get("metadata")
    if isinstance(totals, dict):
        more = {
            "total_size": sum(each.nbytes - each.tensor.nbytes for each in resized.values()),
            "total_parameters": sum(each.more_elements for each in resized.values()),
        }
        totals |= {key: totals[key] + more[key] for key in more if key in totals}
    return new


def _header(shard: Shard, resized: Mapping[str, Resized]) -> bytes:
    header: dict[str, Any] = {} if shard.metadata is None else {METADATA: shard.metadata}
    begin = 0
    for tensor in shard.tensors:
        new = resized.get(tensor.name)
        shape = tensor.shape if new is None else (new.rows, *tensor.shape[1:])
        end = begin + (tensor.nbytes if new is None else new.nbytes)
        header[tensor.name] = {
            "dtype": tensor.dtype,
            "shape": list(shape),
            "data_offsets": [begin, end],
        }
        begin = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    # Readers map the data into memory and want it aligned.
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _chunks(file: BinaryIO, nbytes: int) -> Iterator[bytes]:
    for begin in range(0, nbytes, CHUNK):
        yield file.read(min(CHUNK, nbytes - begin))

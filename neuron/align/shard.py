"""A safetensors file as it lies on disk: where each tensor's bytes are, without reading them.

Eight bytes hold the length of a JSON header, the header each tensor's dtype, shape and place, and
the rest is data without holes (https://github.com/huggingface/safetensors#format).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from neuron.errors import ModelNotFoundError

MAX_HEADER = 100_000_000
"""Bytes; the format's own limit."""
METADATA = "__metadata__"


@dataclass(frozen=True)
class Tensor:
    path: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    """Bytes from the start of the file."""
    nbytes: int


@dataclass(frozen=True)
class Shard:
    path: Path
    size: int
    """Bytes of the file."""
    data_begin: int
    metadata: Mapping[str, str] | None
    tensors: tuple[Tensor, ...]
    """In the order of their bytes."""


def read_shard(path: Path) -> Shard:
    """Reads the header alone. Raises ModelNotFoundError where the file is missing or not whole."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            header = _header(file, size)
        shard = _parsed(path, size, 8 + len(header), json.loads(header))
    except OSError as error:
        raise ModelNotFoundError(f"Weights {path} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelNotFoundError(
            f"Weights {path} are not a whole safetensors file: download them again."
        ) from error
    return shard


def _header(file: BinaryIO, size: int) -> bytes:
    length = int.from_bytes(file.read(8), "little")
    if not 0 < length <= min(MAX_HEADER, size - 8):
        raise ValueError("no safetensors header")
    return file.read(length)


def _parsed(path: Path, size: int, data_begin: int, header: dict[str, Any]) -> Shard:
    metadata = header.pop(METADATA, None)
    tensors = [
        Tensor(
            path=path,
            name=name,
            dtype=str(entry["dtype"]),
            shape=tuple(int(length) for length in entry["shape"]),
            begin=data_begin + entry["data_offsets"][0],
            nbytes=entry["data_offsets"][1] - entry["data_offsets"][0],
        )
        for name, entry in header.items()
    ]
    tensors.sort(key=lambda tensor: (tensor.begin, tensor.nbytes))
    end = data_begin
    for tensor in tensors:
        if tensor.begin != end or tensor.nbytes < 0:
            raise ValueError("tensors overlap or leave holes")
        end += tensor.nbytes
    if end != size:
        raise ValueError("the data ends elsewhere than the header says")
    return Shard(path, size, data_begin, metadata, tuple(tensors))

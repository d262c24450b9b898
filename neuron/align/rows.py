"""Rows of a matrix in a shard as numbers, a few at a time, and one row of numbers as bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from neuron.align.shard import Tensor
from neuron.errors import PairError

Array = NDArray[np.float64]
Advance = Callable[[int], None]
"""Told how many bytes were just read."""

CHUNK = 4 * 2**20
"""Bytes that are read or computed with at once."""
ITEM_BYTES = {"BF16": 2, "F16": 2, "F32": 4, "F64": 8}
_NUMPY = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}


def decode(raw: bytes, dtype: str) -> Array:
    """Exact: float64 holds every value of the four types. Returns [len(raw) / item]."""
    if dtype == "BF16":
        # A bfloat16 is the upper half of a float32.
        halves = np.frombuffer(raw, "<u2").astype(np.uint32)
        return (halves << 16).view(np.float32).astype(np.float64)
    return np.frombuffer(raw, _NUMPY[dtype]).astype(np.float64)


def encode(row: Array, dtype: str) -> bytes:
    """Finite numbers, rounded to nearest, ties to even."""
    if dtype == "BF16":
        bits = row.astype(np.float32).view(np.uint32)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2").tobytes()
    return row.astype(_NUMPY[dtype]).tobytes()


def blocks(matrix: Tensor, advance: Advance) -> Iterator[Array]:
    """The rows of [rows, hidden] from first to last, [up to CHUNK / 8 / hidden, hidden] at a time.

    Raises PairError at a row that is not finite.
    """
    rows, hidden = matrix.shape
    row_bytes = hidden * ITEM_BYTES[matrix.dtype]
    step = max(1, CHUNK // (8 * hidden))
    with matrix.path.open("rb") as file:
        file.seek(matrix.begin)
        for first in range(0, rows, step):
            raw = file.read(min(step, rows - first) * row_bytes)
            block = decode(raw, matrix.dtype).reshape(-1, hidden)
            if not np.isfinite(block).all():
                raise PairError(
                    f"{matrix.name} in {matrix.path} holds values that are not finite among rows "
                    f"{first} to {first + len(block) - 1}: these weights cannot be used."
                )
            yield block
            advance(len(raw))

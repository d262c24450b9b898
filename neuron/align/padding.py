"""The row that is written for ids the draft never had, and the proof that it never wins.

A head W [n, d] gives a hidden state h the logits z = W h. A further row p gets p·h, and p·h is at
most max z for *every* h exactly if p lies in the convex hull of W's rows: p = sum(a_i w_i) with
a_i >= 0 and sum(a_i) = 1, so that p·h = sum(a_i z_i) is an average of the logits. Zeros need not
lie there: where all logits are negative, a zero row wins.

Of all points in the hull the mean of the rows (all a_i = 1 / n) is taken, for two reasons:

- greedy: an average in which every weight is positive reaches the maximum only if all n logits are
  equal. So it does not even tie with the winner, and no argmax, in whatever order it looks, takes
  it. A copy of a row would tie wherever that row wins.
- sampling: exp(average) <= average of exp (Jensen), so one padded row holds at most max(a_i) of the
  mass that the n rows hold, at any temperature. With a_i = 1 / n that cannot be bettered: at h = 0
  every row holds the same mass, whatever it is. A copy of row i holds as much as token i does.

The mean has to be rounded to the checkpoint's dtype and thereby moves by e. With C the covariance
of the rows, a_i = (1 + (w_i - mean)·C⁻¹e) / n are weights of the rounded row: they sum to 1, and
sum(a_i w_i) = mean + C C⁻¹ e. They are computed here for every row, in float64, and the least one
decides: positive, and the above holds for the row as it is stored. What float64 leaves open is at
most RESIDUAL of the largest value, far below one rounding of a float32 logit.

The weights stay near 1 / n if e·C⁻¹e is small, which the nearest numbers do not see to where some
directions vary much less than others. So numbers are rounded one after the other, coarsest first,
and each makes up for the errors before it (Babai's nearest plane, in the metric of C⁻¹).

Where that fails (a head whose rows hardly differ in some direction, say), the padded rows are exact
copies of a row whose id no tokenizer knows. That is a point of the hull too: it ties only where the
draft would have proposed an id that is no token, and torch's argmax takes the lower id there.

With tied embeddings the head is the input matrix as well, so the same row is there: it is read only
when a padded id is fed, which the draft never proposes. An untied input matrix gets its own mean.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from neuron.align.rows import ITEM_BYTES, Advance, Array, blocks, decode, encode
from neuron.align.shard import Tensor
from neuron.errors import PairError

RESIDUAL = 1e-12
LEAST_WEIGHT = 0.01
FLAT = 1e-13
"""Share of the largest variance below which a direction counts as not varying."""


@dataclass(frozen=True)
class Padding:
    row: bytes
    """In the matrix's own dtype."""
    weights: tuple[float, float] | None
    """Least and largest a_i, times n; 1 and 1 are the exact mean. None: a copy."""
    copy_of: int | None = None
    """The id whose row is copied. None: the mean."""


def mean_padding(matrix: Tensor, advance: Advance) -> bytes:
    """The mean of the rows of [n, d], rounded to their dtype. Raises PairError if not finite."""
    total = np.zeros(matrix.shape[1])
    for block in blocks(matrix, advance):
        total += block.sum(axis=0)
    return encode(total / matrix.shape[0], matrix.dtype)


def head_padding(head: Tensor, known: Collection[int], advance: Advance) -> Padding:
    """A row for the head [n, d] that can never win; `known` are the ids that are tokens.

    Reads the head twice. Raises PairError where there is no such row to be had.
    """
    mean, covariance = _moments(head, advance)
    values, vectors = np.linalg.eigh(covariance)
    # Rows that are all alike have no variance at all.
    values = np.maximum(values, max(values[-1] * FLAT, 1e-30))
    spread = np.sqrt(np.maximum(covariance.diagonal(), 0))
    row = _rounded(mean, spread, (vectors / np.sqrt(values)).T, head.dtype)
    moved = decode(row, head.dtype) - mean
    slope = vectors @ ((vectors.T @ moved) / values)
    left = float(np.abs(covariance @ slope - moved).max())
    weights = _weights(head, mean, slope, left, advance)
    if weights is not None:
        return Padding(row, weights)
    unknown = next((i for i in reversed(range(head.shape[0])) if i not in known), None)
    if unknown is None:
        raise PairError(
            f"No row can be shown to lose against every row of {head.name} in {head.path}: their "
            "mean is lost in rounding, and each of its ids is a token; convert the draft to "
            "float32 first."
        )
    return Padding(_row(head, unknown), None, copy_of=unknown)


def _moments(matrix: Tensor, advance: Advance) -> tuple[Array, Array]:
    """Mean [d] and covariance [d, d] of the rows."""
    rows, hidden = matrix.shape
    origin, total, squares = np.zeros(hidden), np.zeros(hidden), np.zeros((hidden, hidden))
    for number, block in enumerate(blocks(matrix, advance)):
        if number == 0:
            # Squares of distances from some row, not from zero: less is lost in the difference.
            origin = block[0].copy()
        block -= origin
        total += block.sum(axis=0)
        squares += block.T @ block
    offset = total / rows
    return origin + offset, squares / rows - np.outer(offset, offset)


def _rounded(mean: Array, spread: Array, root: Array, dtype: str) -> bytes:
    """A point p of `dtype` near `mean` [d], as the length of root (p - mean) says; root [d, d].

    No number moves further than the column's standard deviation, `spread` [d], and one rounding.
    """
    order = np.argsort(np.abs(mean))
    triangle: Array = np.linalg.qr(root[:, order]).R
    point, moved = mean.copy(), np.zeros_like(mean)
    for i in reversed(range(len(mean))):
        column = order[i]
        shift = -triangle[i, i + 1 :] @ moved[i + 1 :] / triangle[i, i]
        shift = min(max(shift, -spread[column]), spread[column])
        stored = decode(encode(mean[[column]] + shift, dtype), dtype)[0]
        point[column], moved[i] = stored, stored - mean[column]
    return encode(point, dtype)


def _weights(
    matrix: Tensor, mean: Array, slope: Array, left: float, advance: Advance
) -> tuple[float, float] | None:
    """Least and largest of 1 + (w_i - mean)·slope. None: no proof, `left` being what is not met."""
    least, largest, size = np.inf, -np.inf, 0.0
    for block in blocks(matrix, advance):
        size = max(size, float(np.abs(block).max()))
        tilt = (block - mean) @ slope
        least, largest = min(least, 1 + tilt.min()), max(largest, 1 + tilt.max())
    if left > RESIDUAL * size or least < LEAST_WEIGHT:
        return None
    return float(least), float(largest)


def _row(matrix: Tensor, index: int) -> bytes:
    length = matrix.shape[1] * ITEM_BYTES[matrix.dtype]
    with matrix.path.open("rb") as file:
        file.seek(matrix.begin + index * length)
        return file.read(length)

"""A draft's folder written again with as many rows per id as the target has."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuron.align.checkpoint import INDEX, Checkpoint, open_checkpoint
from neuron.align.folder import copy_others, whole
from neuron.align.padding import Padding, head_padding, mean_padding
from neuron.align.rows import Advance
from neuron.align.vocabulary import Tokens, check_same_meaning, read_tokens
from neuron.align.write import Resized, resized_index, write_shard
from neuron.errors import PairError
from neuron.models import vocab_size

NOTE = "aligned.json"
SPECIAL_IDS = ("bos_token_id", "eos_token_id", "pad_token_id")

Progress = Callable[[int, int], None]
"""Bytes of work done, and in all."""


@dataclass(frozen=True)
class Alignment:
    """What was written and from what; `aligned.json` beside the weights holds the same."""

    draft: str
    target: str
    out: str
    vocab_size: int
    """The draft's own, in rows."""
    aligned_vocab_size: int
    """The target's."""
    padded_rows: str
    """`mean`, `copy of row N` or `none` where rows were cut; padding.py has the proof."""
    weights: tuple[float, float] | None
    """Least and largest weight of a real row in a padded one, in units of 1 / vocab_size."""
    leaked_at_most: float | None
    """Bound on the probability of all padded ids together, for any hidden state."""
    unknown_to_draft: int
    """Ids that are tokens for the target alone: the draft had no reason to learn them."""
    sha256: Mapping[str, str]
    """Of the draft's files of weights, by name."""


def align(
    draft: Path, target: Path, out: Path, progress: Progress = lambda _done, _all: None
) -> Alignment:
    """Reads the folders `draft` and `target`, writes `out`; holds a few MiB of weights at a time.

    Raises PairError where the pair cannot be aligned or `out` is taken, ModelNotFoundError where
    files are missing or damaged, SpecserveError where `out` cannot be written.
    """
    source = open_checkpoint(draft)
    rows = vocab_size(target)
    ours, theirs = read_tokens(draft), read_tokens(target)
    if rows == source.vocab:
        raise PairError(
            f"The draft in {draft} has the target's vocabulary of {rows} already: use it as it is."
        )
    check_same_meaning(ours, theirs)
    _check_cut(source, ours, rows)
    advance = _counter(source, rows, progress)
    with whole(out) as folder:
        padding, resized = _resized(source, rows, ours.keys() | theirs.keys(), advance)
        hashes = {
            shard.path.name: write_shard(shard, folder / shard.path.name, resized, advance)
            for shard in source.shards
        }
        _write_json(folder / "config.json", {**source.config, "vocab_size": rows})
        if source.index is not None:
            _write_json(folder / INDEX, resized_index(source.index, resized))
        copy_others(draft, folder, frozenset({"config.json", NOTE}))
        done = Alignment(
            draft=str(draft),
            target=str(target),
            out=str(out.expanduser().resolve()),
            vocab_size=source.vocab,
            aligned_vocab_size=rows,
            padded_rows=_told(padding),
            weights=padding.weights if padding else None,
            leaked_at_most=_leaked(padding, source.vocab, rows),
            unknown_to_draft=len(theirs.keys() - ours.keys()),
            sha256=hashes,
        )
        _write_json(folder / NOTE, {"made_by": "neuron align", **vars(done)})
    return done


def _check_cut(source: Checkpoint, tokens: Tokens, rows: int) -> None:
    lost = [token for token in tokens if token >= rows]
    if lost:
        raise PairError(
            f"Id {min(lost)} is {tokens[min(lost)]!r} for the draft, and the target has no row for "
            f"it (vocab_size {rows}): its rows cannot be cut; choose another draft."
        )
    for key in SPECIAL_IDS:
        value = source.config.get(key)
        for token in value if isinstance(value, list) else [value]:
            if isinstance(token, int) and token >= rows:
                raise PairError(
                    f"Key {key!r} in {source.folder / 'config.json'} is {token}, and the target "
                    f"has no row for it (vocab_size {rows}): change it or choose another draft."
                )


def _resized(
    source: Checkpoint, rows: int, known: set[int], advance: Advance
) -> tuple[Padding | None, dict[str, Resized]]:
    if rows < source.vocab:
        matrices = (source.head, *source.inputs, *source.copies)
        return None, {matrix.name: Resized(matrix, rows, b"") for matrix in matrices}
    padding = head_padding(source.head, known, advance)
    fills = dict.fromkeys((source.head, *source.copies), padding.row)
    fills |= {matrix: mean_padding(matrix, advance) for matrix in source.inputs}
    return padding, {matrix.name: Resized(matrix, rows, row) for matrix, row in fills.items()}


def _counter(source: Checkpoint, rows: int, progress: Progress) -> Advance:
    total, done = source.nbytes, 0
    if rows > source.vocab:
        total += 2 * source.head.nbytes + sum(matrix.nbytes for matrix in source.inputs)

    def advance(nbytes: int) -> None:
        nonlocal done
        done += nbytes
        progress(done, total)

    return advance


def _told(padding: Padding | None) -> str:
    if padding is None:
        return "none"
    return "mean" if padding.copy_of is None else f"copy of row {padding.copy_of}"


def _leaked(padding: Padding | None, before: int, after: int) -> float | None:
    """Each padded row holds at most largest / before of the mass M of the old rows."""
    if padding is None:
        return 0.0
    if padding.weights is None:
        return None
    held = (after - before) * padding.weights[1] / before
    return held / (1 + held)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

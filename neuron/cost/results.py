"""Observations out of a result file of `bench`: one for each arm and concurrency.

Only what is needed is read, and nothing of `bench` imported: the dependency points the other way.
"""

from __future__ import annotations

import base64
import json
import zlib
from itertools import accumulate, pairwise
from pathlib import Path
from statistics import median
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from neuron.cost.observation import Observation
from neuron.errors import PairError
from neuron.pair import Pair
from neuron.shapes import shape_of

NS_PER_MS = 1e6
MIN_STEPS = 20
"""A request with fewer says little about a step: its first and last are not like the rest."""


class _Read(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


def _stamps(packed: object) -> object:
    """When each chunk with tokens came, in ns: bench/events.py says how events are packed."""
    if not isinstance(packed, str):
        return packed
    try:
        columns = json.loads(zlib.decompress(base64.b64decode(packed, validate=True)))
        arrivals = zip(accumulate(columns["at_ns"]), columns["tokens"], strict=True)
        return tuple(at_ns for at_ns, tokens in arrivals if tokens)
    except (zlib.error, KeyError, TypeError) as error:
        raise ValueError(f"no packed events: {error!r}") from error


class _Reply(_Read):
    events: Annotated[tuple[int, ...], BeforeValidator(_stamps)]
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    problem: str | None = None

    def gaps_ms(self) -> list[float]:
        """A step's duration each, whatever number of tokens it emitted."""
        return [(later - earlier) / NS_PER_MS for earlier, later in pairwise(self.events)]


class _Request(_Read):
    arm: str
    concurrency: int
    reply: _Reply


class _Pair(_Read):
    name: str
    stack: str
    target: str
    draft: str | None = None
    num_draft_tokens: int
    max_num_seqs: int
    tp_degree: int | None = None


class _Provenance(_Read):
    pair: _Pair | None


class _Cell(_Read):
    file: str


class _Sweep(_Read):
    """The index that `bench sweep` writes."""

    kind: Literal["sweep"]
    cells: tuple[_Cell, ...]


class _Result(_Read):
    schema_version: Literal[4]
    kind: Literal["speedup"]
    provenance: _Provenance
    requests: tuple[_Request, ...]


def observations(path: Path, stated: Pair | None = None) -> list[Observation]:
    """Of a result, or of all results of a sweep that are there.

    `stated`: the pair of a result that names none. Raises PairError for a file that the model of
    Trainium cannot be fitted to.
    """
    files = _cells(path)
    if files is None:
        return _observations(path, stated)
    if not files:
        raise PairError(f"The sweep {path} has no result beside it yet: let it run.")
    return [one for file in files for one in _observations(file, stated)]


def _cells(path: Path) -> list[Path] | None:
    """`None` if `path` is no sweep's index."""
    try:
        sweep = _Sweep.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
    named = (path.parent / cell.file for cell in sweep.cells)
    return [file for file in named if file.exists()]


def _observations(path: Path, stated: Pair | None) -> list[Observation]:
    result = _read(path)
    pair = _pair_of(result, stated, path)
    if pair.stack == "cpu" or pair.tp_degree is None:
        raise PairError(
            f"Field 'provenance.pair.stack' in {path} is {pair.stack!r}: the model is of Trainium2 "
            "and is fitted to results from there only; run `bench` on a trn2 instance."
        )
    cells: dict[tuple[str, int], list[_Reply]] = {}
    for request in result.requests:
        if request.reply.problem is None and len(request.reply.gaps_ms()) >= MIN_STEPS:
            cells.setdefault((request.arm, request.concurrency), []).append(request.reply)
    found = [
        _observation(pair, arm, concurrency, replies, path)
        for (arm, concurrency), replies in sorted(cells.items())
        if arm in ("plain", "speculative") and (arm == "plain" or pair.draft is not None)
    ]
    if not found:
        raise PairError(
            f"Field 'requests' in {path} has no usable answer of more than {MIN_STEPS} steps: "
            "run `bench` with longer answers."
        )
    return found


def _pair_of(result: _Result, stated: Pair | None, path: Path) -> _Pair:
    named = result.provenance.pair
    if named is not None and stated is not None:
        raise PairError(
            f"Field 'provenance.pair' in {path} is {named.name!r} already: leave out --pair."
        )
    if named is not None:
        return named
    if stated is not None:
        return _Pair.model_validate(stated.model_dump())
    raise PairError(
        f"Field 'provenance.pair' in {path} is empty, as after `bench --speculative-url … "
        "--plain-url …`, so its degree and batch are not known: say which pair those engines ran "
        "with --pair."
    )


def _observation(
    pair: _Pair, arm: str, concurrency: int, replies: list[_Reply], path: Path
) -> Observation:
    held = [(one.prompt_tokens or 0) + (one.completion_tokens or 0) / 2 for one in replies]
    speculative = arm == "speculative"
    return Observation(
        name=f"{pair.name}, {arm}{f', K {pair.num_draft_tokens}' if speculative else ''}, "
        f"concurrency {concurrency}",
        target=shape_of(pair.target),
        tp=pair.tp_degree or 1,
        # The compiled batch: slots without a request take part in each step.
        batch=pair.max_num_seqs,
        context=round(median(held)),
        measured_ms=median(median(one.gaps_ms()) for one in replies),
        source=f"{path}, {len(replies)} requests",
        draft=shape_of(pair.draft) if speculative and pair.draft else None,
        k=pair.num_draft_tokens if speculative else 0,
        # The legacy fork runs NxDI too, with its K+1 draft passes.
        loop="nxdi" if pair.stack in ("nxdi", "legacy") else "generic",
    )


def _read(path: Path) -> _Result:
    try:
        return _Result.model_validate_json(path.read_bytes())
    except OSError as error:
        raise PairError(f"{path} cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(map(str, fault["loc"]))
        what = f"field {key!r}: {fault['msg']}" if key else fault["msg"]
        raise PairError(
            f"{path} is no speedup result of `bench`: {what}; give a file that "
            "`bench --pair` wrote."
        ) from error

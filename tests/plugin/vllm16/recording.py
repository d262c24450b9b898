"""The torch model with a protocol of what it was asked and what it did, one JSON line per call."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuron.plugin.build import Facts, build_torch
from neuron.plugin.fused import Feed, FusedModel, Limits, Prefilled, Stepped

BUILD = f"{__name__}:build"


@dataclass(frozen=True)
class Step:
    rows: int
    slots: list[int]
    positions: list[int]
    host: list[bool]
    """Whether the host decides, by sequence."""
    emitted: list[int]
    """Tokens of the graph's own choice, by sequence."""
    start: float
    end: float
    """Of the model's call, on the machine's monotonic clock."""


def build(facts: Facts, options: Mapping[str, Any]) -> FusedModel:
    """Named by SPECSERVE_PLUGIN; "recording" among the options is the file."""
    inner = {key: value for key, value in options.items() if key != "recording"}
    return Recording(build_torch(facts, inner), Path(options["recording"]))


def steps(file: Path) -> list[Step]:
    return [Step(**fields) for name, fields in _lines(file) if name == "step"]


def by_request(file: Path, since: int = 0) -> list[list[tuple[int, int]]]:
    """(drafted, accepted by the graph's own choice) of each step, for each sequence in turn.

    Without the file's first `since` lines and the sequences that were prefilled there.
    """
    done: list[list[tuple[int, int]]] = []
    live: dict[int, list[tuple[int, int]]] = {}
    for name, fields in _lines(file)[since:]:
        if name == "prefill":
            live[fields["slot"]] = []
            done.append(live[fields["slot"]])
        if name == "step":
            for slot, emitted in zip(fields["slots"], fields["emitted"], strict=True):
                if slot in live:
                    live[slot].append((fields["rows"] - 1, emitted - 1))
    return done


def length(file: Path) -> int:
    return len(_lines(file))


def count(file: Path, call: str) -> int:
    return sum(name == call for name, _ in _lines(file))


def _lines(file: Path) -> list[tuple[str, dict[str, Any]]]:
    return [tuple(json.loads(line)) for line in file.read_text().splitlines()]


class Recording:
    def __init__(self, model: FusedModel, file: Path) -> None:
        self._model = model
        self._file = file.open("a", buffering=1)

    def load(self) -> Limits:
        limits = self._model.load()
        self._write("load")
        return limits

    def prefill(self, slot: int, tokens: Sequence[int], *, logits: bool = False) -> Prefilled:
        prefilled = self._model.prefill(slot, tokens, logits=logits)
        self._write("prefill", slot=slot, length=len(tokens))
        return prefilled

    def step(self, feeds: Sequence[Feed], rows: int) -> list[Stepped]:
        start = time.monotonic()
        stepped = self._model.step(feeds, rows)
        self._write(
            "step",
            rows=rows,
            slots=[feed.slot for feed in feeds],
            positions=[feed.position for feed in feeds],
            host=[feed.logits for feed in feeds],
            emitted=[len(one.tokens) for one in stepped],
            start=start,
            end=time.monotonic(),
        )
        return stepped

    def release(self, slot: int) -> None:
        self._model.release(slot)
        self._write("release", slot=slot)

    def close(self) -> None:
        self._model.close()
        self._write("close")
        self._file.close()

    def _write(self, name: str, **fields: object) -> None:
        self._file.write(json.dumps([name, fields]) + "\n")

"""One answer of a stream, followed as it comes: what it says so far, and whether it runs away."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from server.structured.contract import MAX_CHARS, Contract, Said
from server.structured.json_text import JsonProgress
from server.structured.rules import Call

MAX_TRAILING = 32
"""Characters of white space after a whole JSON value; what grammars allow and nobody wants."""
MAX_INSIDE = 512
"""Characters of white space in a row inside a value: deeper than any indentation goes."""

Action = Literal["pass", "end", "cut", "too_long"]
"""`end`: the value is whole and only white space follows; `cut`: white space without end in it."""


@dataclass
class Watcher:
    contract: Contract
    _text: list[str] = field(default_factory=list)
    _names: dict[int, str] = field(default_factory=dict)
    _arguments: dict[int, list[str]] = field(default_factory=dict)
    _text_progress: JsonProgress = field(default_factory=JsonProgress)
    _call_progress: dict[int, JsonProgress] = field(default_factory=dict)
    _size: int = 0

    def feed(self, text: str) -> Action:
        if not self._kept(text):
            return "too_long"
        self._text.append(text)
        if not self.contract.json_text:
            return "pass"
        return _action(self._text_progress, text)

    def feed_call(self, index: int, name: str, arguments: str) -> Action:
        if not self._kept(arguments):
            return "too_long"
        if name:
            self._names[index] = name
        self._arguments.setdefault(index, []).append(arguments)
        return _action(self._call_progress.setdefault(index, JsonProgress()), arguments)

    @property
    def said(self) -> Said:
        calls = tuple(
            Call(self._names.get(index, ""), "".join(self._arguments[index]))
            for index in sorted(self._arguments)
        )
        return Said("".join(self._text), calls)

    def _kept(self, more: str) -> bool:
        self._size += len(more)
        return self._size <= MAX_CHARS


def _action(progress: JsonProgress, text: str) -> Action:
    progress.feed(text)
    if progress.complete:
        return "end" if progress.white > MAX_TRAILING else "pass"
    return "cut" if progress.white > MAX_INSIDE else "pass"

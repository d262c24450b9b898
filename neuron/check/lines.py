"""A launch line as its owner wrote it: flags and their values."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

FLAGS = Path(__file__).parent / "vllm_flags.json"
"""Asked of the own parsers of vLLM 0.16 and 0.32, with what other stacks' commands have besides."""

Takes = Literal["one", "optional", "none"]
"""Whether a flag must have a value, may have some, or stands alone."""
TAKES: tuple[Takes, ...] = ("one", "optional", "none")


@cache
def known_flags() -> Mapping[str, Takes]:
    read = json.loads(FLAGS.read_text(encoding="utf-8"))
    return {flag: takes for takes in TAKES for flag in read[takes]}


@cache
def short_flags() -> Mapping[str, str]:
    return dict(json.loads(FLAGS.read_text(encoding="utf-8"))["short"])


@dataclass(frozen=True)
class Line:
    """`values`: by flag, with dashes; None for a flag that stands alone. The last one counts."""

    values: Mapping[str, str | None] = field(default_factory=dict)

    @classmethod
    def of(cls, argv: Sequence[str]) -> Line:
        """Whatever is no flag nor a flag's value is passed over: the program, the model."""
        values: dict[str, str | None] = {}
        waiting: str | None = None
        for given in argv:
            first, equals, value = given.partition("=")
            name = short_flags().get(first, first)
            if name.startswith("--") and len(name) > 2:
                waiting = _dashed(name)
                values[waiting] = value if equals else None
                waiting = None if equals else waiting
            elif waiting is not None:
                values[waiting] = given
                waiting = None
        return cls(_undotted(values))

    def __contains__(self, flag: str) -> bool:
        return flag in self.values

    def text(self, flag: str) -> str | None:
        return self.values.get(flag)


def _dashed(name: str) -> str:
    """vLLM takes underscores for dashes in a flag's name, but not in a key behind its dot."""
    flag, dot, keys = name.partition(".")
    return flag.replace("_", "-") + dot + keys


def _undotted(values: Mapping[str, str | None]) -> dict[str, str | None]:
    """`--flag.key value` as vLLM reads it: all of a flag's keys make one JSON object at the end."""
    plain = {name: value for name, value in values.items() if "." not in name or value is None}
    objects: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        flag, dot, path = name.partition(".")
        if dot and value is not None:
            *outer, last = path.removesuffix("+").split(".")
            inner = objects.setdefault(flag, {})
            for key in outer:
                if not isinstance(inner.get(key), dict):
                    inner[key] = {}
                inner = inner[key]
            if path.endswith("+"):
                known = inner.get(last)
                inner[last] = [*(known if isinstance(known, list) else []), *value.split(",")]
            else:
                inner[last] = _value(value)
    return plain | {flag: json.dumps(value) for flag, value in objects.items()}


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text

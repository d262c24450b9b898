"""A Dockerfile as instructions; no more of its language than ours uses."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass
class Stage:
    base: str
    """An image, or an earlier stage."""
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def of(self, word: str) -> list[str]:
        return [rest for each, rest in self.instructions if each == word]


def stages(path: Path = ROOT / "Dockerfile") -> dict[str, Stage]:
    found: dict[str, Stage] = {}
    current: Stage | None = None
    for line in _lines(path.read_text()):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            current = found[name] = Stage(base)
        elif current is not None:
            current.instructions.append((word, rest.strip()))
    return found


def environment(rest: str, known: dict[str, str]) -> dict[str, str]:
    """Of one ENV, with $NAME from what is known."""
    said = re.sub(r"\$(\w+)", lambda found: known.get(found[1], ""), rest)
    return dict(word.split("=", 1) for word in shlex.split(said))


def _lines(text: str) -> Iterator[str]:
    """Without comments, continued lines joined."""
    kept = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    yield from (line for line in kept.replace("\\\n", " ").splitlines() if line.strip())

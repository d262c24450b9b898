"""What a task produces and how an answer to it is judged."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class Example:
    """One chat request with the answer that the target is trained to give.

    `facts` holds what the task's own validator needs, or how it is sent; no model reads it.
    """

    task: str
    phrasing: int
    messages: tuple[Mapping[str, str], ...]
    answer: str
    tools: tuple[Mapping[str, Any], ...] = ()
    schema: Mapping[str, Any] | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """`valid`: the text is what the task's format asks for; `exact`: its content is right too."""

    valid: bool
    exact: bool
    reason: str | None = None


class Task(Protocol):
    """A seeded generator of examples together with the validator of their answers."""

    @property
    def name(self) -> str: ...

    @property
    def structured(self) -> bool: ...

    def sample(self, rng: random.Random) -> Example: ...

    def check(self, example: Example, text: str) -> Outcome: ...


def ask(text: str) -> tuple[Mapping[str, str], ...]:
    """The messages of a single user turn."""
    return ({"role": "user", "content": text},)

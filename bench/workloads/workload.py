"""A workload: what is asked of the engines, and how an answer to it is judged."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from neuron.local.corpus import Example, Outcome, Task

__all__ = ["Example", "Outcome", "Seeded", "Source", "Task", "Workload"]


class Source(Protocol):
    def examples(self, count: int, seed: int) -> list[Example]:
        """The same for the same seed."""
        ...

    def check(self, example: Example, text: str) -> Outcome: ...


@dataclass(frozen=True)
class Seeded:
    """A task's own generator and validator, for any number of prompts."""

    task: Task

    def examples(self, count: int, seed: int) -> list[Example]:
        rng = random.Random(f"{self.task.name}:{seed}")
        return [self.task.sample(rng) for _ in range(count)]

    def check(self, example: Example, text: str) -> Outcome:
        return self.task.check(example, text)


@dataclass(frozen=True)
class Workload:
    name: str
    structured: bool
    source: Source
    temperature: float = 0.0
    code: str = ""
    """Its place in the suite, like W1; empty: none."""
    about: str = ""
    """What is asked, and what makes an answer exact."""
    template: Mapping[str, Any] = field(default_factory=dict)
    """For the chat template, like `enable_thinking`."""
    runs_to_limit: bool = False
    """The answer is to go on until max_tokens ends it."""

    def examples(self, count: int, seed: int) -> list[Example]:
        return self.source.examples(count, seed)

    def temperature_of(self, example: Example) -> float:
        """The request's own where it names one."""
        own = example.facts.get("temperature")
        return self.temperature if own is None else float(own)

    def max_tokens_of(self, example: Example, most: int) -> int:
        """The request's own where it names one, `most` at the most."""
        return min(most, example.facts.get("max_tokens") or most)

    def template_of(self, example: Example) -> Mapping[str, Any]:
        return {**self.template, **example.facts.get("template", {})}

    def judge(self, example: Example, text: str, finish_reason: str | None) -> Outcome:
        """An answer that max_tokens cut is never valid, unless it was to be cut."""
        if finish_reason == "length" and not self.runs_to_limit:
            return Outcome(False, False, "cut off by max_tokens")
        return self.source.check(example, text)

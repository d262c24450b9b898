"""The seeded corpus: a training stream and a held-out split that never meet."""

import hashlib
import json
import random
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from neuron.local.example import Example, Outcome, Task
from neuron.local.tasks.controls import Hex, Prose
from neuron.local.tasks.counting import CountRepeat
from neuron.local.tasks.jsons import CsvToJson, JsonExtract, JsonRecord
from neuron.local.tasks.k8s import K8sYaml
from neuron.local.tasks.python import DataclassTask, Rename
from neuron.local.tasks.sql import Sql
from neuron.local.tasks.tool_call import ToolCall

__all__ = ["CONTROLS", "STRUCTURED", "TASKS", "Example", "Outcome", "Task", "held_out", "stream"]

_ALL: tuple[Task, ...] = (
    JsonExtract(),
    JsonRecord(),
    ToolCall(),
    Sql(),
    K8sYaml(),
    DataclassTask(),
    CsvToJson(),
    Rename(),
    CountRepeat(),
    Prose(),
    Hex(),
)
TASKS: Mapping[str, Task] = MappingProxyType({task.name: task for task in _ALL})
STRUCTURED = tuple(task.name for task in _ALL if task.structured)
CONTROLS = tuple(task.name for task in _ALL if not task.structured)
_HELD_OUT_SHARE = 16


def _is_held_out(example: Example) -> bool:
    """By the request's own content, so that the same request cannot be on both sides."""
    request = json.dumps([example.messages, example.tools], sort_keys=True)
    return hashlib.blake2b(request.encode(), digest_size=2).digest()[0] % _HELD_OUT_SHARE == 0


def _draw(task: Task, rng: random.Random, held_out: bool) -> Example:
    while True:
        example = task.sample(rng)
        # A control's prompt says little of its answer, and there are few: split by seed only.
        if not task.structured or _is_held_out(example) == held_out:
            return example


def held_out(task: str, n: int, seed: int = 0) -> list[Example]:
    """`n` examples of `task` that no training stream contains; the same for the same seed."""
    rng = random.Random(f"held-out:{task}:{seed}")
    return [_draw(TASKS[task], rng, True) for _ in range(n)]


def stream(weights: Mapping[str, float], seed: int) -> Iterator[Example]:
    """The endless training stream, tasks drawn in proportion to `weights`."""
    rng = random.Random(f"train:{seed}")
    names, shares = list(weights), list(weights.values())
    while True:
        yield _draw(TASKS[rng.choices(names, shares)[0]], rng, False)

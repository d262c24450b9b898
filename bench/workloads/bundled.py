"""The held-out side of the bundled corpus, one workload per task."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.errors import UsageProblemError
from neuron.local.corpus import TASKS, Example, Outcome, held_out


@dataclass(frozen=True)
class Workload:
    name: str
    structured: bool
    temperature: float = 0.0

    def examples(self, count: int, seed: int) -> list[Example]:
        return held_out(self.name, count, seed)

    def judge(self, example: Example, text: str, finish_reason: str | None) -> Outcome:
        """By the task's own validator; an answer that max_tokens cut is never valid."""
        if finish_reason == "length":
            return Outcome(False, False, "cut off by max_tokens")
        return TASKS[self.name].check(example, text)


# The likeliest hex digits are a loop, which any draft can follow: as a control, hex is sampled.
SAMPLED = {"hex": 1.0}


def catalogue() -> tuple[Workload, ...]:
    return tuple(
        Workload(task.name, task.structured, SAMPLED.get(task.name, 0.0)) for task in TASKS.values()
    )


def choose(names: Sequence[str]) -> tuple[Workload, ...]:
    """All workloads if `names` is empty."""
    known = {workload.name: workload for workload in catalogue()}
    for name in names:
        if name not in known:
            raise UsageProblemError(
                f"--workload {name!r} does not exist: choose from {', '.join(known)}."
            )
    return tuple(known[name] for name in dict.fromkeys(names)) or tuple(known.values())

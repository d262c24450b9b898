"""W1 once more, by a model that thinks before it answers."""

from dataclasses import dataclass, replace

from bench.workloads.jsons import Invoice
from bench.workloads.workload import Outcome, Seeded, Workload
from neuron.local.corpus import Example

CODE = "W1-thinking"
END = "</think>"


@dataclass(frozen=True)
class Thinking:
    """The same prompts as without; what follows the thoughts is judged as there."""

    seeded: Seeded

    def examples(self, count: int, seed: int) -> list[Example]:
        return [_with_thoughts(one) for one in self.seeded.examples(count, seed)]

    def check(self, example: Example, text: str) -> Outcome:
        thoughts, ended, answer = text.rpartition(END)
        if not ended:
            return Outcome(False, False, "the thoughts do not end")
        if not thoughts.removeprefix("<think>").strip():
            return Outcome(False, False, "no thoughts")
        return self.seeded.check(replace(example, schema=example.facts["schema"]), answer)


def _with_thoughts(example: Example) -> Example:
    """Without a schema for the engine: its grammar would forbid the thoughts."""
    return replace(
        example,
        answer=f"<think>\n…\n{END}\n\n{example.answer}",
        schema=None,
        facts={**example.facts, "schema": example.schema},
    )


def thinking() -> Workload:
    return Workload(
        "json_extract_thinking",
        True,
        Thinking(Seeded(Invoice())),
        code=CODE,
        about="W1 with the template's thinking, only by name; thoughts that end, then as W1",
        template={"enable_thinking": True},
    )

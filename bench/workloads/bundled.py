"""The held-out side of the bundled corpus: the only prompts that the bundled pair knows."""

from dataclasses import dataclass

from bench.workloads.workload import Example, Outcome, Workload
from neuron.local.corpus import TASKS, held_out

# The likeliest hex digits are a loop, which any draft can follow: as a control, hex is sampled.
SAMPLED = {"hex": 1.0}
CODES = {
    "json_extract": "W1", "tool_call": "W2", "sql": "W3", "dataclass": "W4", "csv_to_json": "W5",
    "rename": "W6", "count_repeat": "W7", "prose": "N1", "hex": "N2",
}  # fmt: skip
ABOUT = {
    "json_extract": "JSON from a sentence; schema, and the very same JSON",
    "json_record": "JSON from a list of properties; schema, and the very same JSON",
    "tool_call": "one function call; its parameters' schema, and equal arguments",
    "sql": "a query; sqlite3 runs it, and has the reference's rows",
    "k8s_yaml": "a Deployment; YAML, and equal as data",
    "dataclass": "a dataclass; Python, and the same syntax tree",
    "csv_to_json": "3 to 5 rows as JSON; schema, and the very same JSON",
    "rename": "a variable renamed in code; Python, and the same syntax tree",
    "count_repeat": "counting, or a line again and again; the very same text",
    "prose": "sentences of a made-up language; words and full stops",
    "hex": "random hex digits; 16 a line, and as many lines as asked for",
}


@dataclass(frozen=True)
class HeldOut:
    name: str

    def examples(self, count: int, seed: int) -> list[Example]:
        return held_out(self.name, count, seed)

    def check(self, example: Example, text: str) -> Outcome:
        return TASKS[self.name].check(example, text)


def bundled() -> tuple[Workload, ...]:
    return tuple(
        Workload(
            task.name, task.structured, HeldOut(task.name), SAMPLED.get(task.name, 0.0),
            CODES.get(task.name, ""), ABOUT[task.name],
        )
        for task in TASKS.values()
    )  # fmt: skip

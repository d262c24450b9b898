"""The suite in full size, for real Qwen models."""

from bench.workloads.code import Boilerplate, Edit
from bench.workloads.controls import Hex, Prose
from bench.workloads.counting import Repeat
from bench.workloads.jsons import Csv, Invoice
from bench.workloads.queries import Query
from bench.workloads.thinking import thinking
from bench.workloads.workload import Seeded, Task, Workload
from neuron.local.tasks.tool_call import ToolCall

# Qwen3 thinks unless it is told not to; templates that know no thinking pass over it.
NO_THINKING = {"enable_thinking": False}
_SUITE: tuple[tuple[str, Task, str], ...] = (
    ("W1", Invoice(), "an invoice's text as JSON; schema, and every field equal"),
    ("W2", ToolCall(), "one function call; its parameters' schema, and equal arguments"),
    ("W3", Query(), "a query; sqlite3 runs it, and has the reference's rows"),
    ("W4", Boilerplate(), "a dataclass with to_dict and from_dict; Python, and a round trip"),
    ("W5", Csv(), "10 rows of CSV as JSON; schema, and deeply equal"),
    ("W6", Edit(), "a file with two methods renamed; Python, and the renamed syntax tree"),
    ("W7", Repeat(), "a line 50 times, or 80 numbers; the very same text"),
    ("N1", Prose(), "a story, essay or opinion; 150 to 600 words, distinct, no <think>"),
    ("N2", Hex(), "20 lines of 32 random hex digits; hex lines, and 20 different ones"),
)


def full() -> tuple[Workload, ...]:
    suite = (
        Workload(
            task.name, task.structured, Seeded(task), code=code, about=about, template=NO_THINKING
        )
        for code, task, about in _SUITE
    )
    return (*suite, thinking())

"""Live progress on stderr, redrawn only when a request has ended."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from bench.experiment import Step

SAY_EVERY = 10


@dataclass
class Teller:
    """Lines before the run, a bar during it; plain lines where stderr is no terminal."""

    console: Console
    progress: Progress
    task: TaskID | None = None

    def say(self, line: str) -> None:
        self.console.print(f"bench: {line}", highlight=False, markup=False, soft_wrap=True)

    def step(self, step: Step) -> None:
        load = f"concurrency {step.concurrency}" if step.concurrency else "open loop"
        text = f"{step.workload} · {load} · {step.arm}"
        if not self.console.is_terminal:
            if step.done % SAY_EVERY == 0 or step.done == step.of:
                self.say(f"{step.done}/{step.of} {text}")
            return
        if self.task is None:
            self.task = self.progress.add_task(text, total=step.of)
        self.progress.update(self.task, completed=step.done, description=text, refresh=True)


@contextmanager
def teller() -> Iterator[Teller]:
    console = Console(stderr=True)
    # How far, and nothing of how fast: who sees a median move is tempted to stop there.
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    # auto_refresh would redraw from a thread while a stream is being stamped.
    with Progress(*columns, console=console, auto_refresh=False) as progress:
        yield Teller(console, progress)

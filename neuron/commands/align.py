"""`neuron align`: its arguments, its progress on stderr and its answer on stdout."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from neuron.models import locate

if TYPE_CHECKING:
    from neuron.align import Alignment

EXIT_CODES = """\b
Exit codes:
  0  done
  1  DIR cannot be written
  2  bad usage, or a pair that cannot be aligned
  3  weights not on this machine, or not whole
"""


@click.command(epilog=EXIT_CODES)
@click.argument("draft")
@click.option("--target", required=True, help="A known name, a folder or a hub id, as DRAFT.")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="A new or empty folder.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def align(draft: str, target: str, out: Path, as_json: bool) -> None:
    """Write DRAFT to a folder with the vocabulary size of the target, as vLLM asks for it.

    Rows are added that can never be the likeliest, or unused rows cut; nothing else changes.
    """
    from neuron.align import align as run

    with _progress() as report:
        done = run(locate(draft), locate(target), out, report)
    click.echo(json.dumps(asdict(done), indent=2) if as_json else _told(done))


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    # Piped, a bar that redraws itself is noise.
    shown = console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=not shown) as bar:
        task = bar.add_task("aligning", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _told(done: Alignment) -> str:
    lines = [f"{done.out}: {done.vocab_size} rows became {done.aligned_vocab_size}"]
    if done.padded_rows == "none":
        lines.append("rows that the target does not have were cut; none of them was a token")
    elif done.weights is not None and done.leaked_at_most is not None:
        lines.append(
            "padded rows are the mean of the draft's own, which is never the likeliest "
            f"(weights {done.weights[0]:.3f} to {done.weights[1]:.3f} of 1 / {done.vocab_size}); "
            f"together they hold at most {done.leaked_at_most:.2e} of the probability"
        )
    else:
        lines.append(
            f"padded rows are a {done.padded_rows}, which is no token: they win only where it ties"
        )
    if done.unknown_to_draft:
        lines.append(f"{done.unknown_to_draft} of the target's tokens are unknown to the draft")
    return "\n".join(lines)

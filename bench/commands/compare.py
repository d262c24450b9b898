"""`bench compare`: two stored results of the same prompts."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from bench.commands.shared import EPILOG, judge
from bench.comparable import Difference, differences
from bench.compare import Comparison, compare_results
from bench.compare_report import render_comparison
from bench.errors import BenchError, SlowerError, UsageProblemError
from bench.setup import Setup
from bench.storage import read
from bench.strict_json import dumps
from bench.summary import STRUCTURED_ALL, summarise
from bench.words import ratio

ACROSS = ("versions", "machine")
NO_GATE = {"require_faster": False, "require_no_harm": False}


@click.command(epilog=EPILOG)
@click.argument("first", metavar="FIRST.json", type=click.Path(path_type=Path))
@click.argument("second", metavar="SECOND.json", type=click.Path(path_type=Path))
@click.option(
    "--across",
    multiple=True,
    type=click.Choice(ACROSS),
    help="Repeatable: compare although versions, or the machine, are not the same; they are then "
    "part of what is compared.",
)
@click.option(
    "--require-not-slower",
    is_flag=True,
    help="Exit with 10 if the second is shown to be slower: the structured workloads together, "
    "where several are compared, and any control.",
)
@click.option("--json", "as_json", is_flag=True, help="The rows as JSON on stdout.")
@click.pass_context
def compare(
    ctx: click.Context,
    first: Path,
    second: Path,
    across: tuple[str, ...],
    require_not_slower: bool,
    as_json: bool,
) -> None:
    """Set a second result against a first, over the prompts that both have.

    Results of other models, other sampling or other versions are refused, by name.
    """
    paths, results = (first, second), (read(first), read(second))
    differ = tuple(differences(*results))
    _check(paths, differ, across)
    limits = ctx.ensure_object(Setup).limits
    summaries = (summarise(results[0], limits), summarise(results[1], limits))
    found = compare_results(results, summaries)
    if not found.rows:
        raise UsageProblemError(
            f"{first} and {second} have nothing in common that could be compared: "
            f"{'; '.join(found.missing) or 'neither has a row'}."
        )
    if as_json:
        told = [{"what": what, "differs": text} for what, text in differ]
        click.echo(dumps({**asdict(found), "differences": told}))
    else:
        click.echo(render_comparison((str(first), str(second)), found, differ), nl=False)
    for path, result, summary in zip(paths, results, summaries, strict=True):
        try:
            judge(result, summary, NO_GATE)
        except BenchError as error:
            raise type(error)(f"{path}: {error}") from error
    if require_not_slower:
        _require_not_slower(found)


def _check(
    paths: tuple[Path, Path], differ: Sequence[tuple[Difference, str]], across: Sequence[str]
) -> None:
    names = f"{paths[0]} and {paths[1]}"
    work = [text for what, text in differ if what == "work"]
    if work:
        raise UsageProblemError(
            f"{names} answer different questions: {'; '.join(work)}. Measure both alike."
        )
    for what in ACROSS:
        told = [text for kind, text in differ if kind == what]
        if told and what not in across:
            raise UsageProblemError(
                f"{names} differ in more than what was to be compared: {'; '.join(told)}. Measure "
                f"both alike, or give --across {what} to have that in the comparison."
            )


def _require_not_slower(found: Comparison) -> None:
    pools = [row for row in found.rows if row.workload == STRUCTURED_ALL]
    pooled = {row.level for row in pools}
    asked = [
        row
        for row in found.rows
        if row.workload == STRUCTURED_ALL or not row.structured or row.level not in pooled
    ]
    slower = [row for row in asked if row.verdict == "slower"]
    if slower:
        told = ", ".join(f"{row.workload} at {row.level} {ratio(row.gain)}" for row in slower)
        raise SlowerError(f"--require-not-slower: {told}.")

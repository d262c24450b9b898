"""`bench size`: how many prompts a claim needs, from a pilot run."""

from dataclasses import asdict
from pathlib import Path

import click

from bench.commands.shared import EPILOG
from bench.errors import UsageProblemError
from bench.sample_size import LEAST, POWER, TELLING, prompts_for, spread
from bench.storage import read
from bench.strict_json import dumps
from bench.summary import summarise


@click.command(epilog=EPILOG)
@click.argument("path", metavar="PILOT.json", type=click.Path(path_type=Path))
@click.option(
    "--speedup",
    default=1.1,
    show_default=True,
    type=click.FloatRange(0, min_open=True),
    help="The true speedup that should be shown.",
)
@click.option(
    "--power",
    default=POWER,
    show_default=True,
    type=click.FloatRange(0.5, 1, max_open=True),
    help="How often it should be shown.",
)
@click.option("--json", "as_json", is_flag=True, help="The rows as JSON.")
def size(path: Path, speedup: float, power: float, as_json: bool) -> None:
    """Say how many prompts would show a speedup, from the spread that a short run had.

    Only the spread is used, not what the pilot showed: choose --prompts by it before the run that
    makes the claim, and leave the pilot out of that run.
    """  # fmt: skip
    if speedup == 1:
        raise UsageProblemError("--speedup 1 is no difference: give the ratio to be shown.")
    rows = []
    result = read(path)
    for row in summarise(result).rows:
        found = spread(row.tpot)
        if found.prompts < TELLING:
            raise UsageProblemError(
                f"{path}: {found.prompts} prompts of {row.workload} do not tell its spread: make a "
                f"pilot of {TELLING} or more, better {LEAST}."
            )
        needed = prompts_for(speedup, found.log_sd, power)
        level = result.settings.level(row.concurrency)
        rows.append({"workload": row.workload, "level": level, **asdict(found),
                     "needed": needed})  # fmt: skip
    if as_json:
        click.echo(dumps({"speedup": speedup, "power": power, "rows": rows}))
        return
    for one in rows:
        click.echo(
            f"{one['workload']} at {one['level']}: {one['needed']} prompts show "
            f"{speedup:g}x with a chance of {power:.0%} (spread of log ratio {one['log_sd']:.3f} "
            f"over {one['prompts']} prompts)"
        )

"""`make bench-crosscheck`: our client beside `vllm bench serve` and guidellm, on one engine.

The same prompts, greedy, one at a time, in blocks that take turns. Prints what each program
printed, what our own events give by that program's definition, and whether the two agree.

stdout = the tables or, with --json, everything with our raw events; stderr = progress.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from bench.commands.shared import EPILOG
from bench.crosscheck.judge import MIN_ROUNDS
from bench.crosscheck.programs import GUIDELLM, Program, guidellm, vllm_serve
from bench.crosscheck.report import document, render
from bench.crosscheck.rows import rows
from bench.crosscheck.run import Seams, cross_check
from bench.edge import finish, run_until_done
from bench.errors import UsageProblemError
from bench.progress import teller
from bench.record import Settings
from bench.strict_json import dumps
from neuron.pair import load_pair

NAMES = ("vllm", "guidellm")
WORKLOADS = ("json_extract", "sql", "prose")


@click.command(help=__doc__, epilog=EPILOG)
@click.option(
    "--pair",
    "pair_ref",
    default="local",
    show_default=True,
    metavar="REF",
    help="A shipped pair's name or a TOML file.",
)
@click.option(
    "-w",
    "--workload",
    "workloads",
    multiple=True,
    metavar="NAME",
    default=WORKLOADS,
    show_default=True,
    help="Repeatable.",
)
@click.option(
    "--prompts", default=3, show_default=True, type=click.IntRange(1), help="Per workload."
)
@click.option(
    "--rounds",
    default=5,
    show_default=True,
    type=click.IntRange(MIN_ROUNDS),
    help="Each a block of every program between two of ours.",
)
@click.option("--max-tokens", default=96, show_default=True, type=click.IntRange(2))
@click.option("--seed", default=1, show_default=True)
@click.option("--only", type=click.Choice(NAMES), help="Leave out the other program.")
@click.option(
    "--guidellm",
    "program",
    default=GUIDELLM,
    show_default=True,
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="guidellm's own program.",
)
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON.")
@click.pass_context
def crosscheck(
    ctx: click.Context,
    pair_ref: str,
    workloads: tuple[str, ...],
    prompts: int,
    rounds: int,
    max_tokens: int,
    seed: int,
    only: str | None,
    program: Path,
    as_json: bool,
) -> None:  # fmt: skip
    settings = Settings(
        workloads=workloads, prompts=prompts, rounds=rounds, concurrency=(1,), seed=seed,
        max_tokens=max_tokens, guided=False, warmup=0, temperature=0.0,
    )  # fmt: skip
    seams = ctx.ensure_object(Seams)
    chosen = seams.programs or _programs(only, program)
    with teller() as tell:
        found = run_until_done(cross_check(load_pair(pair_ref), settings, chosen, tell.say, seams))
    table = rows(found)
    click.echo(dumps(document(found, table)) if as_json else render(found, table), nl=as_json)


def _programs(only: str | None, program: Path) -> tuple[Program, ...]:
    if only == "vllm":
        return (vllm_serve(),)
    if not program.is_file():
        raise UsageProblemError(
            f"guidellm is not at {program}: `make install-crosscheck` puts it there, --guidellm "
            "names another place, --only vllm does without."
        )
    both = (vllm_serve(), guidellm(program))
    return both[1:] if only == "guidellm" else both


def run(argv: Sequence[str] | None = None, seams: Seams | None = None) -> int:
    """The exit code."""
    return finish(
        "bench.crosscheck",
        lambda: crosscheck.main(
            args=argv, prog_name="bench.crosscheck", standalone_mode=False, obj=seams or Seams()
        ),
    )


if __name__ == "__main__":
    sys.exit(run())

"""`bench overhead`: what the gateway adds."""

import click

from bench.commands.shared import EPILOG, checked_pair, keeper
from bench.edge import run_until_done
from bench.errors import UnusableError
from bench.options import chosen_settings, pair_options, run_options
from bench.overhead import overheads, render_overhead, run_overhead
from bench.progress import teller
from bench.record import Result
from bench.rows import overhead_json
from bench.setup import Setup
from bench.storage import writable


@click.command(epilog=EPILOG)
@pair_options
@run_options
@click.pass_context
def overhead(ctx: click.Context, /, **_: object) -> None:
    """Measure what the gateway adds to the engine: per chunk and to the first token."""
    params, setup = ctx.params, ctx.ensure_object(Setup)
    settings = chosen_settings(params)
    pair = checked_pair(params, settings)
    folder = writable(params["out"])
    with teller() as tell:
        result = run_until_done(
            run_overhead(
                pair, settings, tell.say, tell.step,
                start=setup.start, keep=keeper(folder, tell), watch_s=setup.watch_s,
            )
        )  # fmt: skip
    if params["as_json"]:
        click.echo(result.model_dump_json())
        return
    print_overhead(result, False)


def print_overhead(result: Result, as_json: bool) -> None:
    rows = overheads(result)
    if as_json:
        click.echo(overhead_json(result, rows))
    elif rows:
        click.echo(render_overhead(result, rows), nl=False)
    if len(rows) < len(result.settings.workloads) * len(result.settings.concurrency):
        problems = [one.reply.problem for one in result.requests if one.reply.problem]
        raise UnusableError(
            "A workload has too few pairs for an interval; first problem: "
            f"{next(iter(problems), result.stopped or 'answers of one chunk or other tokens')}."
        )

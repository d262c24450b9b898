"""`bench aws`: the published experiment as a preset."""

from dataclasses import asdict
from pathlib import Path

import click

from bench.aws import aws_settings, case_rows, render_aws
from bench.commands.shared import EPILOG, both_urls, engines_of, judge, keeper
from bench.edge import run_until_done
from bench.notes import notes
from bench.options import chosen_profile, pair_options
from bench.progress import teller
from bench.run import run_bench
from bench.setup import Setup
from bench.storage import writable
from bench.strict_json import dumps
from bench.summary import summarise


@click.command(epilog=EPILOG)
@pair_options
@click.option("--speculative-url", metavar="URL", help="A speculative engine that runs already.")
@click.option("--plain-url", metavar="URL", help="A plain engine that runs already.")
@click.option("--seed", default=0, show_default=True)
@click.option(
    "--out",
    default="results",
    show_default=True,
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the result JSON goes.",
)
@click.option("--json", "as_json", is_flag=True, help="The rows as JSON on stdout.")
@click.pass_context
def aws(ctx: click.Context, /, **_: object) -> None:
    """AWS's published experiment: its eight prompts, 64 tokens in, 600 out, concurrency 4.

    Prints its metric, LLMPerf's, and ours side by side.
    """
    params, setup = ctx.params, ctx.ensure_object(Setup)
    settings = aws_settings(chosen_profile(params), params["seed"])
    source = engines_of(ctx, both_urls(params), settings)
    folder = writable(params["out"])
    with teller() as tell:
        result = run_until_done(
            run_bench(
                source, settings, tell.say, tell.step,
                start=setup.start, keep=keeper(folder, tell), watch_s=setup.watch_s,
            )
        )  # fmt: skip
    summary = summarise(result, setup.limits)
    rows = case_rows(result, summary)
    if params["as_json"]:
        told = [{**asdict(one), "llmperf_ratio": one.llmperf_ratio} for one in rows]
        click.echo(dumps(told))
    else:
        click.echo("\n".join((*render_aws(rows), *notes(result, summary))))
    judge(result, summary, {"require_faster": False, "require_no_harm": False})

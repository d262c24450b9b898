"""`bench`: how much sooner each token comes with speculation. stdout = data, stderr = progress."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import click

from bench.commands.auto import auto
from bench.commands.aws import aws
from bench.commands.capacity import capacity_command
from bench.commands.compare import compare
from bench.commands.explain import explain
from bench.commands.overhead import overhead
from bench.commands.publish import publish
from bench.commands.report import report
from bench.commands.schema import schema
from bench.commands.shared import (
    EPILOG,
    both_urls,
    engines_of,
    given_options,
    judge,
    keeper,
    print_result,
)
from bench.commands.size import size
from bench.commands.steps import steps
from bench.commands.sweep import sweep
from bench.commands.workloads import workloads
from bench.edge import finish, run_until_done
from bench.errors import UsageProblemError
from bench.options import (
    check_plot,
    chosen_settings,
    load_options,
    pair_options,
    plot_option,
    quick_option,
    quickened,
    require_faster_option,
    require_no_harm_option,
    run_options,
    slo_options,
)
from bench.progress import teller
from bench.report import render_report
from bench.run import Urls, run_bench
from bench.setup import Setup
from bench.storage import writable
from bench.summary import summarise

SETUP = Setup()


@click.group(invoke_without_command=True, epilog=EPILOG)
@pair_options
@run_options
@load_options
@slo_options
@plot_option
@click.option(
    "--aa",
    is_flag=True,
    help="The plain engine against itself: what the instrument calls a difference.",
)
@quick_option
@click.option("--guided", is_flag=True, help="Constrain answers that have a JSON schema to it.")
@click.option("--speculative-url", metavar="URL", help="A speculative engine that runs already.")
@click.option("--plain-url", metavar="URL", help="A plain engine that runs already.")
@require_faster_option
@require_no_harm_option
@click.pass_context
def cli(ctx: click.Context, /, **_: object) -> None:
    """Measure a pair against its own target without speculation, prompt by prompt.

    Starts both engines, sends the same greedy prompts to each in alternating blocks, and prints
    time per output token, speedup with its 95 % interval, validity and token identity.
    """
    if ctx.invoked_subcommand is None:
        _bench(ctx)
    elif given := given_options(ctx, ctx.params):
        raise UsageProblemError(
            f"{', '.join(given)} before {ctx.invoked_subcommand} would not be used: an option of "
            f"{ctx.invoked_subcommand} stands after it."
        )


def _bench(ctx: click.Context) -> None:
    params, setup = quickened(ctx.params), ctx.ensure_object(Setup)
    settings = chosen_settings(params)
    check_plot(params["plot"])
    source = engines_of(ctx, _urls(params), settings)
    folder = writable(params["out"])
    with teller() as tell:
        result = run_until_done(
            run_bench(
                source, settings, tell.say, tell.step, aa=params["aa"],
                start=setup.start, keep=keeper(folder, tell), watch_s=setup.watch_s,
            )
        )  # fmt: skip
    summary = summarise(result, setup.limits)
    text = result.model_dump_json() + "\n" if params["as_json"] else render_report(result, summary)
    print_result(result, summary, text, params["plot"])
    judge(result, summary, params)


def _urls(params: Mapping[str, Any]) -> Urls | None:
    speculative_url, plain_url = params["speculative_url"], params["plain_url"]
    if params["aa"] and speculative_url:
        raise UsageProblemError("--aa asks one plain engine: leave out --speculative-url.")
    if params["aa"] and plain_url:
        return Urls(plain_url, plain_url)
    return both_urls(params)


for command in (
    report, compare, publish, overhead, capacity_command, sweep, steps, size, schema, explain, auto,
    workloads, aws,
):  # fmt: skip
    cli.add_command(command)


def run(argv: Sequence[str] | None = None, setup: Setup = SETUP) -> int:
    """The exit code; every failure has become one sentence on stderr."""
    return finish(
        "bench",
        lambda: cli.main(args=argv, prog_name="bench", standalone_mode=False, obj=setup),
    )


def main() -> NoReturn:
    sys.exit(run())


if __name__ == "__main__":
    main()

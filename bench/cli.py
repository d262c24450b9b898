"""`bench`: how much sooner each token comes with speculation. stdout = data, stderr = progress."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import click
from click.core import ParameterSource

from bench.auto.cli import auto
from bench.busy import WATCH_S
from bench.edge import finish, run_until_done
from bench.engines import Starter, start_process
from bench.errors import EXIT_CODES, NotFasterError, UnusableError, UsageProblemError
from bench.models import check_models
from bench.options import (
    PAIR_OPTIONS,
    check_fits,
    check_plot,
    chosen_pair,
    chosen_settings,
    pair_options,
    plot_option,
    require_faster_option,
    run_options,
)
from bench.overhead import overheads, render_overhead, run_overhead
from bench.plot import draw
from bench.progress import Teller, teller
from bench.record import Result, Settings
from bench.report import render_report
from bench.rows import overhead_json, summary_json
from bench.run import Keep, Urls, run_bench
from bench.storage import read, writable, write
from bench.summary import Summary, summarise
from neuron.pair import Pair


@dataclass(frozen=True)
class Setup:
    """What a test replaces: how engines start, how long other processes are watched."""

    start: Starter = start_process
    watch_s: float = WATCH_S


SETUP = Setup()
EPILOG = "\b\nExit codes:\n" + "".join(f"  {code:<4} {text}\n" for code, text in EXIT_CODES.items())


@click.group(invoke_without_command=True, epilog=EPILOG)
@pair_options
@run_options
@plot_option
@click.option("--guided", is_flag=True, help="Constrain answers that have a JSON schema to it.")
@click.option("--speculative-url", metavar="URL", help="A speculative engine that runs already.")
@click.option("--plain-url", metavar="URL", help="A plain engine that runs already.")
@require_faster_option
@click.pass_context
def cli(ctx: click.Context, /, **_: object) -> None:
    """Measure a pair against its own target without speculation, prompt by prompt.

    Starts both engines, sends the same greedy prompts to each in alternating blocks, and prints
    time per output token, speedup with its 95 % interval, validity and token identity.
    """
    if ctx.invoked_subcommand is None:
        _bench(ctx)
    elif given := _given(ctx, ctx.params):
        raise UsageProblemError(
            f"{', '.join(given)} before {ctx.invoked_subcommand} would not be used: an option of "
            f"{ctx.invoked_subcommand} stands after it."
        )


def _given(ctx: click.Context, names: Iterable[str]) -> list[str]:
    """Those of `names` that were on the command line, as they are written there."""
    return [
        max(param.opts, key=len)
        for param in ctx.command.params
        if param.name in names
        and ctx.get_parameter_source(param.name) is ParameterSource.COMMANDLINE
    ]


def _bench(ctx: click.Context) -> None:
    params, setup = ctx.params, ctx.ensure_object(Setup)
    settings = chosen_settings(params)
    check_plot(params["plot"])
    source = _source(params["speculative_url"], params["plain_url"])
    if source is None:
        source = _checked_pair(params, settings)
    elif given := _given(ctx, PAIR_OPTIONS):
        raise UsageProblemError(
            f"{', '.join(given)} would not be used: the engines at --speculative-url and "
            "--plain-url run already; give the one or the other."
        )
    folder = writable(params["out"])
    with teller() as tell:
        result = run_until_done(
            run_bench(
                source, settings, tell.say, tell.step,
                start=setup.start, keep=_keeper(folder, tell), watch_s=setup.watch_s,
            )
        )  # fmt: skip
    summary = summarise(result)
    text = result.model_dump_json() + "\n" if params["as_json"] else render_report(result, summary)
    _print(result, summary, text, params["plot"])
    _judge(result, summary, params["require_faster"])


def _checked_pair(params: Mapping[str, Any], settings: Settings) -> Pair:
    pair = chosen_pair(params)
    check_fits(pair, settings)
    check_models(pair, params)
    return pair


def _keeper(folder: Path, tell: Teller) -> Keep:
    def keep(result: Result) -> None:
        partial = "" if result.stopped is None else " until the run ended early"
        tell.say(f"raw events{partial} in {write(result, folder)}")

    return keep


def _source(speculative_url: str | None, plain_url: str | None) -> Urls | Pair | None:
    if speculative_url and plain_url:
        return Urls(speculative_url, plain_url)
    if speculative_url or plain_url:
        raise UsageProblemError("--speculative-url and --plain-url need each other: give both.")
    return None


@cli.command(epilog=EPILOG)
@click.argument("path", metavar="RESULT.json", type=click.Path(path_type=Path))
@plot_option
@require_faster_option
@click.option("--json", "as_json", is_flag=True, help="The rows as JSON on stdout, no table.")
def report(path: Path, plot: Path | None, require_faster: bool, as_json: bool) -> None:
    """Print a stored result's table again, from its raw events."""
    check_plot(plot)
    result = read(path)
    if result.kind == "overhead":
        if plot is not None or require_faster:
            raise UsageProblemError(
                f"{path} says what the gateway adds and has no speedup: leave out --plot and "
                "--require-faster."
            )
        _print_overhead(result, as_json)
        return
    summary = summarise(result)
    text = summary_json(result, summary) + "\n" if as_json else render_report(result, summary)
    _print(result, summary, text, plot)
    _judge(result, summary, require_faster)


@cli.command(epilog=EPILOG)
@pair_options
@run_options
@click.pass_context
def overhead(ctx: click.Context, /, **_: object) -> None:
    """Measure what the gateway adds to the engine: per chunk and to the first token."""
    params, setup = ctx.params, ctx.ensure_object(Setup)
    settings = chosen_settings(params)
    pair = _checked_pair(params, settings)
    folder = writable(params["out"])
    with teller() as tell:
        result = run_until_done(
            run_overhead(
                pair, settings, tell.say, tell.step,
                start=setup.start, keep=_keeper(folder, tell), watch_s=setup.watch_s,
            )
        )  # fmt: skip
    if params["as_json"]:
        click.echo(result.model_dump_json())
        return
    _print_overhead(result, False)


cli.add_command(auto)


def _print(result: Result, summary: Summary, text: str, plot: Path | None) -> None:
    click.echo(text, nl=False)
    if plot is not None and summary.rows:
        draw(result, summary, plot)


def _print_overhead(result: Result, as_json: bool) -> None:
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


def _judge(result: Result, summary: Summary, require_faster: bool) -> None:
    if summary.faults:
        names = ", ".join(row.workload for row in summary.faults)
        raise UnusableError(
            f"Speculative output is not the plain output on {names}: the speedup there is worth "
            "nothing until that is explained."
        )
    if summary.gaps:
        gap = summary.gaps[0]
        raise UnusableError(
            f"{len(summary.gaps)} rows could not be shown, first {gap.workload}: {gap.reason}."
        )
    if not require_faster:
        return
    structured = [row for row in summary.rows if row.structured]
    verdicts = [one.verdict for one in (summary.pools or structured or summary.rows)]
    if any(found != "faster" for found in verdicts):
        raise NotFasterError("--require-faster: " + ", ".join(verdicts) + ".")


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

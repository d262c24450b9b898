"""`bench`: how much sooner each token comes with speculation. stdout = data, stderr = progress."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from bench.edge import finish, run_until_done
from bench.engines import check_weights
from bench.errors import EXIT_CODES, NotFasterError, UnusableError, UsageProblemError
from bench.options import (
    check_fits,
    check_plot,
    chosen_pair,
    chosen_settings,
    pair_options,
    plot_option,
    run_options,
)
from bench.overhead import overheads, render_overhead, run_overhead
from bench.plot import draw
from bench.progress import teller
from bench.record import Result, Settings
from bench.report import render_report
from bench.run import Urls, run_bench
from bench.storage import read, writable, write
from bench.summary import Summary, summarise
from neuron.pair import Pair

EPILOG = "\b\nExit codes:\n" + "".join(f"  {code:<4} {text}\n" for code, text in EXIT_CODES.items())


@click.group(invoke_without_command=True, epilog=EPILOG)
@pair_options
@run_options
@plot_option
@click.option("--guided", is_flag=True, help="Constrain answers that have a JSON schema to it.")
@click.option("--speculative-url", metavar="URL", help="A speculative engine that runs already.")
@click.option("--plain-url", metavar="URL", help="A plain engine that runs already.")
@click.option("--require-faster", is_flag=True, help="Exit with 6 unless shown to be faster.")
@click.pass_context
def cli(ctx: click.Context, /, **_: object) -> None:
    """Measure a pair against its own target without speculation, prompt by prompt.

    Starts both engines, sends the same greedy prompts to each in alternating blocks, and prints
    time per output token, speedup with its 95 % interval, validity and token identity.
    """
    if ctx.invoked_subcommand is None:
        _bench(ctx.params)


def _bench(params: Mapping[str, Any]) -> None:
    settings = chosen_settings(params)
    check_plot(params["plot"])
    source = _source(params["speculative_url"], params["plain_url"])
    if source is None:
        source = _checked_pair(params, settings)
    folder = writable(params["out"])
    with teller() as tell:
        result = run_until_done(run_bench(source, settings, tell.say, tell.step))
        tell.say(f"raw events in {write(result, folder)}")
    summary = summarise(result)
    _print(result, summary, params["as_json"], params["plot"])
    _judge(result, summary, params["require_faster"])


def _checked_pair(params: Mapping[str, Any], settings: Settings) -> Pair:
    pair = chosen_pair(params)
    check_fits(pair, settings)
    check_weights(pair)
    return pair


def _source(speculative_url: str | None, plain_url: str | None) -> Urls | Pair | None:
    if speculative_url and plain_url:
        return Urls(speculative_url, plain_url)
    if speculative_url or plain_url:
        raise UsageProblemError("--speculative-url and --plain-url need each other: give both.")
    return None


@cli.command(epilog=EPILOG)
@click.argument("path", metavar="RESULT.json", type=click.Path(path_type=Path))
@plot_option
@click.option("--require-faster", is_flag=True, help="Exit with 6 unless shown to be faster.")
def report(path: Path, plot: Path | None, require_faster: bool) -> None:
    """Print a stored result's table again, from its raw events."""
    check_plot(plot)
    result = read(path)
    if result.kind == "overhead":
        _print_overhead(result)
        return
    summary = summarise(result)
    _print(result, summary, False, plot)
    _judge(result, summary, require_faster)


@cli.command(epilog=EPILOG)
@pair_options
@run_options
@click.pass_context
def overhead(ctx: click.Context, /, **_: object) -> None:
    """Measure what the gateway adds to the engine: per chunk and to the first token."""
    params = ctx.params
    settings = chosen_settings(params)
    pair = _checked_pair(params, settings)
    folder = writable(params["out"])
    with teller() as tell:
        result = run_until_done(run_overhead(pair, settings, tell.say, tell.step))
        tell.say(f"raw events in {write(result, folder)}")
    if params["as_json"]:
        click.echo(result.model_dump_json())
        return
    _print_overhead(result)


def _print(result: Result, summary: Summary, as_json: bool, plot: Path | None) -> None:
    click.echo(result.model_dump_json() if as_json else render_report(result, summary), nl=as_json)
    if plot is not None and summary.rows:
        draw(result, summary, plot)


def _print_overhead(result: Result) -> None:
    rows = overheads(result)
    if rows:
        click.echo(render_overhead(result, rows), nl=False)
    if len(rows) < len(result.settings.workloads) * len(result.settings.concurrency):
        problems = [one.reply.problem for one in result.requests if one.reply.problem]
        raise UnusableError(
            f"A workload has too few pairs for an interval; first problem: "
            f"{problems[0] if problems else 'answers of a single chunk'}."
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
    verdicts = [one.verdict for one in summary.pools] or [one.verdict for one in summary.rows]
    if any(found != "faster" for found in verdicts):
        raise NotFasterError("--require-faster: " + ", ".join(verdicts) + ".")


def run(argv: Sequence[str] | None = None) -> int:
    """The exit code; every failure has become one sentence on stderr."""
    return finish("bench", lambda: cli.main(args=argv, prog_name="bench", standalone_mode=False))


def main() -> NoReturn:
    sys.exit(run())


if __name__ == "__main__":
    main()

"""What the commands that run or read a measurement have in common."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from bench.errors import (
    EXIT_CODES,
    ClientLimitError,
    HarmError,
    NotFasterError,
    SelfDifferenceError,
    UnusableError,
    UsageProblemError,
)
from bench.models import check_models
from bench.options import PAIR_OPTIONS, check_fits, chosen_pair
from bench.plot import draw
from bench.progress import Teller
from bench.record import Result, Settings
from bench.run import Keep, Urls
from bench.storage import write
from bench.summary import Summary
from bench.verdict import MARGIN, equivalent
from bench.words import SAID, ratio
from neuron.pair import Pair

EPILOG = "\b\nExit codes:\n" + "".join(f"  {code:<4} {text}\n" for code, text in EXIT_CODES.items())


def both_urls(params: Mapping[str, Any]) -> Urls | None:
    """Both or neither."""
    speculative, plain = params["speculative_url"], params["plain_url"]
    if bool(speculative) != bool(plain):
        raise UsageProblemError("--speculative-url and --plain-url need each other: give both.")
    return Urls(speculative, plain) if speculative else None


def given_options(ctx: click.Context, names: Iterable[str]) -> list[str]:
    """Those of `names` that were on the command line, as they are written there."""
    return [
        max(param.opts, key=len)
        for param in ctx.command.params
        if param.name in names
        and ctx.get_parameter_source(param.name) is ParameterSource.COMMANDLINE
    ]


def engines_of(ctx: click.Context, urls: Urls | None, settings: Settings) -> Pair | Urls:
    """The pair to start, or the engines that run already."""
    if urls is None:
        return checked_pair(ctx.params, settings)
    if given := given_options(ctx, PAIR_OPTIONS):
        raise UsageProblemError(
            f"{', '.join(given)} would not be used: the engines at --speculative-url and "
            "--plain-url run already; give the one or the other."
        )
    return urls


def checked_pair(params: Mapping[str, Any], settings: Settings) -> Pair:
    pair = chosen_pair(params)
    check_fits(pair, settings)
    check_models(pair, params)
    return pair


def keeper(folder: Path, tell: Teller) -> Keep:
    def keep(result: Result) -> None:
        partial = "" if result.stopped is None else " until the run ended early"
        tell.say(f"raw events{partial} in {write(result, folder)}")

    return keep


def print_result(result: Result, summary: Summary, text: str, plot: Path | None) -> None:
    click.echo(text, nl=False)
    if plot is not None and summary.rows:
        draw(result, summary, plot)


def judge(result: Result, summary: Summary, params: Mapping[str, Any]) -> None:
    """Raises what the first reason against the result is, in the order of how bad it is."""
    if summary.invalid:
        row = summary.invalid[0]
        raise ClientLimitError(
            f"The bench itself was the limit in {len(summary.invalid)} of {len(summary.rows)} "
            f"rows, first {row.workload}, {row.limited[0]}: run it on a machine, or with CPUs, of "
            "its own."
        )
    if summary.faults:
        names = ", ".join(row.workload for row in summary.faults)
        raise UnusableError(
            f"{SAID[result.other].capitalize()} output is not the plain output on {names}: the "
            "speedup there is worth nothing until that is explained."
        )
    if summary.gaps:
        gap = summary.gaps[0]
        raise UnusableError(
            f"{len(summary.gaps)} rows could not be shown, first {gap.workload}: {gap.reason}."
        )
    if result.kind == "aa":
        _judge_aa(summary)
        return
    if params["require_faster"]:
        _judge_faster(summary)
    if params["require_no_harm"]:
        _judge_harm(summary)


def _judge_aa(summary: Summary) -> None:
    found = [row for row in summary.rows if row.verdict != "not shown"]
    if found:
        raise SelfDifferenceError(
            f"--aa: {len(found)} of {len(summary.rows)} rows call the plain engine different from "
            f"itself, first {found[0].workload}; one row in twenty does so by chance."
        )


def _judge_faster(summary: Summary) -> None:
    structured = [row for row in summary.rows if row.structured]
    verdicts = [one.verdict for one in (summary.pools or structured or summary.rows)]
    if any(found != "faster" for found in verdicts):
        raise NotFasterError("--require-faster: " + ", ".join(verdicts) + ".")


def _judge_harm(summary: Summary) -> None:
    controls = [row for row in summary.rows if not row.structured]
    if not controls:
        raise UsageProblemError("--require-no-harm looks at controls: measure one, like prose.")
    harmed = [r for r in controls if r.verdict != "faster" and not equivalent(r.speedup)]
    if harmed:
        told = ", ".join(f"{row.workload} {ratio(row.speedup)}" for row in harmed)
        raise HarmError(f"--require-no-harm: {told} not inside [{MARGIN[0]}, {MARGIN[1]}].")

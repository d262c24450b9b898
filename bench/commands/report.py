"""`bench report`: a stored result again."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from bench.commands.overhead import print_overhead
from bench.commands.shared import EPILOG, judge, print_result
from bench.errors import UsageProblemError
from bench.options import (
    check_plot,
    chosen_slo,
    plot_option,
    require_faster_option,
    require_no_harm_option,
    slo_options,
)
from bench.reconcile import reconcile, render_reconciled
from bench.record import Result
from bench.report import render_report
from bench.rows import reconciled_json, summary_json
from bench.settings import Slo
from bench.setup import Setup
from bench.storage import read
from bench.summary import summarise

OF_A_SPEEDUP = ("plot", "require_faster", "require_no_harm", "other_tools", "slo_ttft", "slo_tpot")


@click.command(epilog=EPILOG)
@click.argument("path", metavar="RESULT.json", type=click.Path(path_type=Path))
@plot_option
@require_faster_option
@require_no_harm_option
@click.option("--json", "as_json", is_flag=True, help="The rows as JSON on stdout, no table.")
@slo_options
@click.option(
    "--other-tools",
    is_flag=True,
    help="What other tools would print from the same events, instead of the table.",
)
@click.pass_context
def report(ctx: click.Context, /, **_: object) -> None:
    """Print a stored result's table again, from its raw events."""
    params = ctx.params
    path, plot, as_json = params["path"], params["plot"], params["as_json"]
    check_plot(plot)
    result = _under(read(path), params)
    if result.kind == "overhead":
        given = [f"--{name.replace('_', '-')}" for name in OF_A_SPEEDUP if params[name]]
        if given:
            raise UsageProblemError(
                f"{path} says what the gateway adds and has no speedup: leave out "
                f"{', '.join(given)}."
            )
        print_overhead(result, as_json)
        return
    if params["other_tools"]:
        lines = reconcile(result)
        click.echo(
            reconciled_json(result, lines) if as_json else render_reconciled(result, lines).rstrip()
        )
        return
    summary = summarise(result, ctx.ensure_object(Setup).limits)
    text = summary_json(result, summary) + "\n" if as_json else render_report(result, summary)
    print_result(result, summary, text, plot)
    judge(result, summary, params)


def _under(result: Result, params: Mapping[str, Any]) -> Result:
    """Under another SLO, if one is given: goodput is a figure over stored events."""
    slo = chosen_slo(params)
    if slo == Slo():
        return result
    settings = result.settings.model_copy(update={"slo": slo})
    return result.model_copy(update={"settings": settings})

"""`bench report`: a stored result again."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from bench.breakeven import points_of, render_points, step_costs
from bench.commands.overhead import print_overhead
from bench.commands.shared import EPILOG, judge, print_result
from bench.errors import UsageProblemError
from bench.options import (
    check_place,
    check_plot,
    chosen_slo,
    plot_option,
    require_faster_option,
    require_no_harm_option,
    slo_options,
)
from bench.pages import Document, MeasuredCell, as_html, as_markdown, result_page, sweep_page
from bench.reconcile import reconcile, render_reconciled
from bench.record import Result
from bench.report import render_report
from bench.rows import reconciled_json, summary_json
from bench.settings import Slo
from bench.setup import Setup
from bench.storage import read
from bench.strict_json import dumps
from bench.summary import summarise
from bench.sweep import INDEX, done, read_sweep

OF_A_SPEEDUP = ("plot", "require_faster", "require_no_harm", "other_tools", "slo_ttft", "slo_tpot",
                "html", "markdown")  # fmt: skip
FORMS = {"html": as_html, "markdown": as_markdown}
NOT_OF_A_SWEEP = OF_A_SPEEDUP[: -len(FORMS)]


@click.command(epilog=EPILOG)
@click.argument("path", metavar="RESULT.json|SWEEP.json", type=click.Path(path_type=Path))
@plot_option
@click.option(
    "--html",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write a page with pictures, which needs nothing beside it.",
)
@click.option(
    "--markdown",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The same page as Markdown.",
)
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
    """Print a stored result's table again, from its raw events, or a sweep's."""
    params, limits = ctx.params, ctx.ensure_object(Setup).limits
    path, plot, as_json = params["path"], params["plot"], params["as_json"]
    check_plot(plot)
    for form in FORMS:
        check_place(f"--{form}", params[form])
    if path.name == INDEX:
        _refuse(params, NOT_OF_A_SWEEP, "is a sweep: `bench report` one of its results for that")
        _sweep(path, params, ctx.ensure_object(Setup))
        return
    result = _under(read(path), params)
    if result.kind == "overhead":
        _refuse(params, OF_A_SPEEDUP, "says what the gateway adds and has no speedup")
        print_overhead(result, as_json)
        return
    if params["other_tools"]:
        _refuse(params, (*FORMS, "plot"), "is asked for other tools' numbers only")
        lines = reconcile(result)
        click.echo(
            reconciled_json(result, lines) if as_json else render_reconciled(result, lines).rstrip()
        )
        return
    summary = summarise(result, limits)
    text = summary_json(result, summary) + "\n" if as_json else render_report(result, summary)
    print_result(result, summary, text, plot)
    if any(params[form] for form in FORMS):
        _write(result_page(result, summary), params)
    judge(result, summary, params)


def _sweep(path: Path, params: Mapping[str, Any], setup: Setup) -> None:
    sweep = read_sweep(path)
    measured = [
        MeasuredCell(cell, result, summarise(result, setup.limits))
        for cell, result in done(sweep, path.parent)
    ]
    found = [point for one in measured for point in points_of(one.cell, one.result, one.summary)]
    if params["as_json"]:
        click.echo(dumps({"points": found, "step_costs": step_costs(found)}))
    else:
        click.echo(render_points(found), nl=False)
    if any(params[form] for form in FORMS):
        _write(sweep_page(sweep, measured), params)


def _write(page: Document, params: Mapping[str, Any]) -> None:
    for name, form in FORMS.items():
        path: Path | None = params[name]
        if path is None:
            continue
        try:
            path.write_text(form(page), encoding="utf-8")
        except OSError as error:
            raise UsageProblemError(
                f"--{name} {path}: {error.strerror}; name a writable file."
            ) from error
        click.echo(f"bench: page in {path}", err=True)


def _refuse(params: Mapping[str, Any], names: tuple[str, ...], why: str) -> None:
    given = [f"--{name.replace('_', '-')}" for name in names if params[name]]
    if given:
        raise UsageProblemError(f"{params['path']} {why}: leave out {', '.join(given)}.")


def _under(result: Result, params: Mapping[str, Any]) -> Result:
    """Under another SLO, if one is given: goodput is a figure over stored events."""
    slo = chosen_slo(params)
    if slo == Slo():
        return result
    settings = result.settings.model_copy(update={"slo": slo})
    return result.model_copy(update={"settings": settings})

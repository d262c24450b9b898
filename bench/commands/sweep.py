"""`bench sweep`: drafts, K, temperatures and loads crossed, and where speculation pays."""

from collections.abc import Mapping
from typing import Any

import click

from bench.breakeven import points, render_points, step_costs
from bench.commands.shared import EPILOG, both_urls
from bench.edge import run_until_done
from bench.errors import ClientLimitError, UnusableError, UsageProblemError
from bench.models import check_models
from bench.option_types import Levels, Numbers
from bench.options import (
    check_fits,
    chosen_pair,
    chosen_settings,
    run_options,
    slo_options,
)
from bench.progress import teller
from bench.run import Urls
from bench.settings import Arrivals, Settings
from bench.setup import Setup
from bench.storage import writable
from bench.strict_json import dumps
from bench.sweep import Axes, PairOf, Sweep, done, opened, run_sweep
from neuron.pair import Pair, load_pair

GUIDED: Mapping[str, tuple[bool, ...]] = {"no": (False,), "yes": (True,), "both": (False, True)}


@click.command(epilog=EPILOG)
@click.option(
    "--pair",
    "pair_ref",
    default="local",
    show_default=True,
    metavar="REF",
    help="A shipped pair's name or a TOML file.",
)
@click.option("--target", metavar="MODEL", help="Another target for the pair.")
@click.option(
    "--draft",
    "drafts",
    multiple=True,
    metavar="MODEL",
    help="Repeatable: drafts to sweep over instead of the pair's own.",
)
@click.option("-k", "--num-draft-tokens", "ks", type=Levels(), help="Values of K, like 1,3,5.")
@click.option(
    "--temperature",
    "temperatures",
    type=Numbers(),
    help="Of all requests; each workload's own by default.",
)
@click.option(
    "--rate",
    "rates",
    type=Numbers(),
    metavar="R,R",
    help="Open loops at these requests per second, beside --concurrency.",
)
@click.option(
    "--burst",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="With --rate: this many leave together.",
)
@click.option(
    "--guided",
    is_flag=False,
    flag_value="yes",
    default="no",
    show_default=True,
    type=click.Choice(tuple(GUIDED)),
    help="Constrain answers that have a JSON schema to it; both: with and without, as an axis. "
    "Without a value: yes.",
)
@click.option("--open-loop-only", is_flag=True, help="No closed loops: only --rate.")
@click.option("--speculative-url", metavar="URL", help="A speculative engine that runs already.")
@click.option("--plain-url", metavar="URL", help="A plain engine that runs already.")
@run_options
@slo_options
@click.pass_context
def sweep(ctx: click.Context, /, **_: object) -> None:
    """Measure every combination, and print where speculation pays.

    Each combination's result is a file in --out, written when it is whole: the same command again
    measures only what is missing.
    """  # fmt: skip
    params, setup = ctx.params, ctx.ensure_object(Setup)
    source = _source(params)
    base = chosen_settings({**params, "temperature": None, "rate": None, "guided": False})
    axes = _axes(params, source)
    cells = tuple(axes.cells(base))
    if not isinstance(source, Urls):
        for draft, k in dict.fromkeys((cell.draft, cell.k) for cell in cells):
            _check(source(draft, k), params, [c.settings for c in cells])
    folder = writable(params["out"])
    name = f"{source.plain} {source.speculative}" if isinstance(source, Urls) else _named(params)
    found = opened(folder, Sweep(source=name, cells=cells))
    with teller() as tell:
        run_until_done(
            run_sweep(
                found, folder, source, tell.say, tell.step, start=setup.start, watch_s=setup.watch_s
            )
        )
    measured = done(found, folder)
    shown = points(measured, setup.limits)
    if params["as_json"]:
        click.echo(dumps({"points": shown, "step_costs": step_costs(shown)}))
    else:
        click.echo(render_points(shown), nl=False)
    invalid = [one for one in shown if one.verdict == "invalid"]
    if invalid:
        raise ClientLimitError(
            f"The bench itself was the limit in {len(invalid)} of {len(shown)} rows: `bench report "
            f"{folder}/cell-….json` says how; remove those files and run again on a quiet machine."
        )
    wanted = sum(len(cell.settings.workloads) for cell in cells)
    if len(shown) < wanted:
        raise UnusableError(
            f"{wanted - len(shown)} of {wanted} combinations could not be shown: `bench report "
            f"{folder}/cell-….json` says why."
        )


def _source(params: Mapping[str, Any]) -> Urls | PairOf:
    urls = both_urls(params)
    if urls and (params["drafts"] or params["ks"]):
        raise UsageProblemError(
            "--draft and --num-draft-tokens would not be used: the engines at --speculative-url "
            "and --plain-url run already."
        )
    if urls:
        return urls

    def pair_of(draft: str | None, k: int | None) -> Pair:
        return chosen_pair({**params, "draft": draft, "draft_tokens": k})

    return pair_of


def _axes(params: Mapping[str, Any], source: Urls | PairOf) -> Axes:
    if params["open_loop_only"] and not params["rates"]:
        raise UsageProblemError("--open-loop-only leaves nothing without --rate: give both.")
    if not all(params["rates"] or ()):
        raise UsageProblemError("--rate 0 sends nothing: give requests per second above 0.")
    own = None if isinstance(source, Urls) else source(None, None)
    return Axes(
        drafts=params["drafts"] or (None if own is None else own.draft,),
        ks=params["ks"] or (None if own is None else own.num_draft_tokens,),
        temperatures=params["temperatures"] or (None,),
        concurrency=() if params["open_loop_only"] else params["concurrency"],
        arrivals=tuple(Arrivals(rate=one, burst=params["burst"]) for one in params["rates"] or ()),
        guided=GUIDED[params["guided"]],
    )


def _check(pair: Pair, params: Mapping[str, Any], wanted: list[Settings]) -> None:
    for settings in wanted:
        check_fits(pair, settings)
    check_models(pair, {"draft": pair.draft if params["drafts"] else None, **params})


def _named(params: Mapping[str, Any]) -> str:
    return load_pair(params["pair_ref"]).with_models(target=params["target"], draft=None).name

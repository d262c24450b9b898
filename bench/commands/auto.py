"""`bench auto`: the policy of the gateway, on recorded timings and live."""

from __future__ import annotations

from pathlib import Path

import click

from bench.auto.live import LiveSettings, run_live
from bench.auto.live_report import live_json, render_live
from bench.auto.outcome import replay
from bench.auto.plot import draw_outcomes
from bench.auto.replay import Mix
from bench.auto.report import outcomes_json, render_outcomes
from bench.auto.timings import Timings, read_timings, timings_of
from bench.commands.shared import EPILOG
from bench.edge import run_until_done
from bench.errors import UsageProblemError
from bench.models import check_models
from bench.option_types import Levels
from bench.options import check_plot, chosen_pair, pair_options, plot_option
from bench.progress import teller
from bench.setup import Setup
from bench.storage import read
from bench.strict_json import dumps

open_share_option = click.option(
    "--open-share",
    default=0.5,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="Of the requests that are open-ended.",
)


@click.group()
def auto() -> None:
    """What choosing the pool per request is worth, against an oracle that knows the better one."""


@auto.command(name="timings", epilog=EPILOG)
@click.argument("result", metavar="RESULT.json", type=click.Path(path_type=Path))
@click.argument("out", metavar="TIMINGS.json", type=click.Path(path_type=Path))
def take_timings(result: Path, out: Path) -> None:
    """Take from a result of `bench` what a replay needs.

    `bench --concurrency 1,4 --prompts 12` records every prompt on both engines at both loads.
    """
    text = timings_of(read(result)).model_dump_json() + "\n"
    try:
        out.write_text(text)
    except OSError as error:
        raise UsageProblemError(f"{out}: {error.strerror}; name a writable file.") from error
    click.echo(f"bench: timings in {out}", err=True)


@auto.command(name="replay", epilog=EPILOG)
@click.argument("path", metavar="TIMINGS.json", type=click.Path(path_type=Path))
@click.option("--streams", default=200, show_default=True, type=click.IntRange(2))
@click.option(
    "--requests", default=600, show_default=True, type=click.IntRange(100), help="Of each stream."
)
@open_share_option
@click.option(
    "--concurrency",
    type=Levels(),
    show_default="each alone, then all in turn",
    help="Recorded loads; several take turns.",
)
@click.option(
    "--turn",
    default=100,
    show_default=True,
    type=click.IntRange(1),
    help="Requests until the next load.",
)
@click.option(
    "--one-key",
    is_flag=True,
    help="One API key for all: text without a schema or tools is one class.",
)
@click.option("--seed", default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="The tables as JSON on stdout.")
@plot_option
def replay_timings(
    path: Path,
    streams: int,
    requests: int,
    open_share: float,
    concurrency: tuple[int, ...] | None,
    turn: int,
    one_key: bool,
    seed: int,
    as_json: bool,
    plot: Path | None,
) -> None:
    """All plain, all speculative, an oracle and auto on the same recorded requests."""
    check_plot(plot)
    timings = read_timings(path)
    outcomes = [
        replay(timings, Mix(requests, open_share, levels, turn, one_key), streams, seed)
        for levels in _chosen_levels(timings, concurrency)
    ]
    render = outcomes_json if as_json else render_outcomes
    click.echo(render(timings, outcomes), nl=as_json)
    if plot is not None:
        draw_outcomes(outcomes, plot)


def _chosen_levels(timings: Timings, asked: tuple[int, ...] | None) -> list[tuple[int, ...]]:
    if asked is None:
        alone: list[tuple[int, ...]] = [(level,) for level in timings.levels]
        return alone if len(alone) == 1 else [*alone, timings.levels]
    for level in asked:
        if level not in timings.levels:
            recorded = ", ".join(map(str, timings.levels))
            raise UsageProblemError(
                f"--concurrency {level} was not recorded: choose from {recorded}."
            )
    return [asked]


@auto.command(epilog=EPILOG)
@pair_options
@click.option(
    "--learn",
    default=150,
    show_default=True,
    type=click.IntRange(0),
    help="Requests in auto before anything is compared.",
)
@click.option(
    "--requests",
    default=60,
    show_default=True,
    type=click.IntRange(1),
    help="Requests that are then sent in auto, on and off.",
)
@open_share_option
@click.option("--max-tokens", default=320, show_default=True, type=click.IntRange(2))
@click.option("--seed", default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="All answers and the table as JSON.")
@click.pass_context
def live(ctx: click.Context, /, **_: object) -> None:
    """The real gateway in auto over both engines, against on and off."""
    params, setup = ctx.params, ctx.ensure_object(Setup)
    pair = chosen_pair(params)
    check_models(pair, params)
    settings = LiveSettings(
        learn=params["learn"],
        requests=params["requests"],
        open_share=params["open_share"],
        max_tokens=params["max_tokens"],
        seed=params["seed"],
    )
    with teller() as tell:
        found = run_until_done(
            run_live(pair, settings, tell.say, start=setup.start, watch_s=setup.watch_s)
        )
    click.echo(
        dumps(live_json(found)) + "\n" if params["as_json"] else render_live(found), nl=False
    )

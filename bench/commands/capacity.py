"""`bench capacity`: what the bench's own client can take."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict
from io import StringIO

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from bench.busy import others_cpu
from bench.capacity import SECONDS, STEP_MS, Level, capacity
from bench.commands.shared import EPILOG
from bench.edge import run_until_done
from bench.progress import teller
from bench.provenance import provenance
from bench.record import Provenance
from bench.setup import Setup

WIDTH = 110
COLUMNS = (
    "streams", "events/s", "own CPU", "stalled", "delay, median ms", "p99 ms", "worst ms",
    "engine behind, p99 ms", "the client",
)  # fmt: skip


@click.command("capacity", epilog=EPILOG)
@click.option(
    "--seconds", type=click.FloatRange(0.2), default=SECONDS, show_default=True,
    help="For each level.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="All figures as JSON.")
@click.pass_context
def capacity_command(ctx: click.Context, seconds: float, as_json: bool) -> None:
    """Measure how many events a second the client stamps before it is the limit itself.

    A fake engine on one core sends on a schedule, the client runs on another. No model is asked.
    """
    watch_s = ctx.ensure_object(Setup).watch_s
    with teller() as tell:
        source = provenance(None, (), {}, asyncio.run(others_cpu(watch_s)))
        found = run_until_done(capacity(tell.say, seconds=seconds))
    if as_json:
        levels = [asdict(one) for one in found]
        click.echo(json.dumps({"levels": levels, "provenance": source.model_dump(mode="json")}))
    else:
        click.echo(render(found, source), nl=False)


def render(found: Sequence[Level], source: Provenance) -> str:
    sink = StringIO()
    console = Console(file=sink, width=WIDTH, color_system=None, highlight=False, markup=False)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in COLUMNS:
        table.add_column(name, justify="right")
    for one in found:
        table.add_row(
            str(one.streams), f"{one.events_per_s:,.0f}", f"{one.cpu:.0%}", f"{one.stalled:.0%}",
            f"{one.delay_median:.2f}", f"{one.delay_p99:.2f}", f"{one.delay_worst:.2f}",
            f"{one.engine_behind_p99:.2f}", "is the limit" if one.reasons else "keeps up",
        )  # fmt: skip
    console.print(table)
    console.print(_sentence(found))
    console.print(
        f"A stream has an event every {STEP_MS:g} ms. Delay: from the fake engine's send to the "
        f"client's stamp. {source.date}; {source.cpu}, {source.cores} cores of which others took "
        f"{source.others_cpu:.2f} before."
    )
    return "\n".join(line.rstrip() for line in sink.getvalue().splitlines()).strip("\n") + "\n"


def _sentence(found: Sequence[Level]) -> str:
    kept = [one for one in found if not one.reasons]
    if not kept:
        return "The client is the limit at the first level already; use a faster machine."
    most = max(one.events_per_s for one in kept)
    last = found[-1]
    if last.reasons:
        return f"Measure up to {most:,.0f} events/s here; at the next level {last.reasons[0]}."
    why = "the fake engine fell behind there" if last.engine_is_limit else "more was not tried"
    return f"The client kept up with {most:,.0f} events/s; {why}."

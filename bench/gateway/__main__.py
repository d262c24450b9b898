"""`make bench-gateway`: what the gateway adds to each chunk, next to two others.

stdout = the table or, with --json, all figures; stderr = progress.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import replace

import click

from bench.busy import others_cpu
from bench.gateway.contestants import CONTESTANTS
from bench.gateway.report import document, render
from bench.gateway.run import Bench, Cores, Plan
from bench.provenance import provenance
from neuron.errors import SpecserveError

NAMES = tuple(one.name for one in CONTESTANTS)


@click.command(help=__doc__)
@click.option("--only", type=click.Choice(NAMES), multiple=True, help="Leave out the others.")
@click.option("--seconds", type=click.FloatRange(0.2), default=5.0, help="For each series.")
@click.option("--json", "as_json", is_flag=True, help="All figures as JSON.")
def main(only: tuple[str, ...], seconds: float, as_json: bool) -> None:
    plan = Plan()
    plan = replace(plan, chunks=round(seconds * 1e3 / plan.step_ms), calls_s=seconds)
    chosen = [one for one in CONTESTANTS if not only or one.name in only]
    try:
        bench = Bench(plan, Cores.chosen(), lambda text: click.echo(text, err=True))
        source = provenance(None, (), {}, asyncio.run(others_cpu()))
        found = asyncio.run(bench.run(chosen))
    except SpecserveError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    text = json.dumps(document(found, source)) if as_json else render(found, source)
    click.echo(text, nl=as_json)


if __name__ == "__main__":
    main()

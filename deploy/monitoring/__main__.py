"""`python -m deploy.monitoring`: what Prometheus and Grafana are given."""

from __future__ import annotations

import sys
from datetime import datetime

import click

from deploy.monitoring.files import DOCS, rendered, rule_groups
from deploy.monitoring.objectives import Objectives
from deploy.monitoring.rules import to_yaml
from deploy.monitoring.site import site
from neuron.errors import SpecserveError
from neuron.pair import load_pair

KEPT = Objectives()


@click.group()
def main() -> None:
    """Dashboards and rules of specserve."""


@main.command()
def write() -> None:
    """Write the dashboards and the rules that are kept in deploy/monitoring again."""
    for path, text in rendered().items():
        path.write_text(text, encoding="utf-8")
        click.echo(path, err=True)


@main.command()
@click.argument("pair", required=False)
@click.option("--price", type=click.FloatRange(min=0), help="$/h of one instance.")
@click.option("--block-end", type=datetime.fromisoformat, help="Of a Capacity Block, with zone.")
@click.option("--ttft", default=KEPT.ttft_s, show_default=True, help="Promised, in seconds.")
@click.option("--tpot", default=KEPT.tpot_s, show_default=True, help="Promised, in seconds.")
@click.option("--share", default=KEPT.share, show_default=True, help="Of requests that keep them.")
@click.option("--start", default=KEPT.start_s, show_default=True, help="Seconds to be ready.")
@click.option("--as", "as_", type=click.Choice(["prometheus", "helm"]), default="prometheus")
@click.option("--docs-url", default=DOCS, show_default=True, help="Where the runbook is read.")
def rules(
    pair: str | None,
    price: float | None,
    block_end: datetime | None,
    ttft: float,
    tpot: float,
    share: float,
    start: float,
    as_: str,
    docs_url: str,
) -> None:
    """Rules for one deployment, on stdout: a rule file, or values for the Helm chart.

    PAIR adds what its steps should take and its chips cost.
    """
    if pair is None and (price is not None or block_end is not None):
        raise click.UsageError("--price and --block-end are of the instance of a PAIR: name it.")
    constants = () if pair is None else site(load_pair(pair), price=price, block_end=block_end)
    objectives = Objectives(ttft_s=ttft, tpot_s=tpot, share=share, start_s=start)
    document = rule_groups(objectives, constants, docs_url)
    if as_ == "helm":
        document = {"monitoring": {"prometheusRule": True, **document}}
    click.echo(to_yaml(document), nl=False)


def run() -> None:
    try:
        main()
    except SpecserveError as error:
        click.echo(str(error), err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    run()

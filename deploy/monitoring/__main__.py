"""`python -m deploy.monitoring`: what Prometheus and Grafana are given."""

from __future__ import annotations

from datetime import UTC, datetime

import click
from click.core import ParameterSource

from deploy.monitoring.files import DOCS, rendered, rule_groups
from deploy.monitoring.objectives import Objectives
from deploy.monitoring.rules import to_yaml
from deploy.monitoring.site import site
from neuron.artefacts.store import Store
from neuron.cli import OneSentenceGroup
from neuron.commands.common import store_option
from neuron.pair import Pair, load_pair
from neuron.render.start import UNMEASURED_S, budget, overdue_s

KEPT = Objectives()


@click.group(cls=OneSentenceGroup)
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
@click.option(
    "--block-end",
    type=datetime.fromisoformat,
    metavar="2026-12-01T11:30:00Z",
    help="Of a Capacity Block, with zone.",
)
@click.option("--ttft", default=KEPT.ttft_s, show_default=True, help="Promised, in seconds.")
@click.option("--tpot", default=KEPT.tpot_s, show_default=True, help="Promised, in seconds.")
@click.option("--share", default=KEPT.share, show_default=True, help="Of requests that keep them.")
@click.option("--start", type=click.FloatRange(min=0), help="Seconds an engine may take to start.")
@store_option(required=False)
@click.option("--as", "as_", type=click.Choice(["prometheus", "helm"]), default="prometheus")
@click.option("--docs-url", default=DOCS, show_default=True, help="Where the runbook is read.")
def rules(
    pair: str | None,
    price: float | None,
    block_end: datetime | None,
    ttft: float,
    tpot: float,
    share: float,
    start: float | None,
    store: Store | None,
    as_: str,
    docs_url: str,
) -> None:
    """Rules for one deployment, on stdout: a rule file, or values for the Helm chart.

    PAIR adds what its steps should take and its chips cost. With --store an engine may take as long
    to start as `neuron render PAIR --store` gives it; without, what that gives an unmeasured one.
    """
    asked = click.get_current_context().get_parameter_source("store")
    of_pair = price is not None or block_end is not None or asked is ParameterSource.COMMANDLINE
    if pair is None and of_pair:
        raise click.UsageError("--price, --block-end and --store are of a PAIR: name it.")
    chosen = None if pair is None else load_pair(pair)
    constants = () if chosen is None else site(chosen, price=price, block_end=block_end)
    if block_end is not None and block_end < datetime.now(UTC):
        click.echo(f"A block that ended at {block_end} has alerts that never fire.", err=True)
    start_s = start if start is not None else start_of(chosen, store)
    objectives = Objectives(ttft_s=ttft, tpot_s=tpot, share=share, overdue_s=overdue_s(start_s))
    document = rule_groups(objectives, constants, docs_url)
    if as_ == "helm":
        document = {"monitoring": {"prometheusRule": True, **document}}
    click.echo(to_yaml(document), nl=False)


def start_of(pair: Pair | None, store: Store | None) -> float:
    """What the slower of its two pools may take: seconds."""
    if pair is None:
        return UNMEASURED_S["nxdi"]
    return max(budget(pair, plain=plain, store=store).seconds for plain in (False, True))


if __name__ == "__main__":
    main(prog_name="python -m deploy.monitoring")

"""`neuron render`: a pair in the words of what runs it."""

from __future__ import annotations

import click

from neuron.artefacts.store import Store
from neuron.commands.common import store_option
from neuron.commands.exit_codes import EXIT_CODES
from neuron.pair import load_pair


@click.command("render", epilog=EXIT_CODES)
@click.argument("pair")
@click.option(
    "--as",
    "form",
    type=click.Choice(["helm"]),
    required=True,
    help="helm: values of deploy/helm/specserve.",
)
@click.option("--plain-pair", help="Another pair for the plain pool; PAIR's own target otherwise.")
@store_option(required=False)
def render_command(form: str, pair: str, plain_pair: str | None, store: Store | None) -> None:
    """Print PAIR, a shipped name or a TOML file, as both pools of a deployment.

    With --store, start-up times come from what the manifests of its artefacts say.
    """
    from neuron.render.helm import engines, values

    plain = load_pair(plain_pair) if plain_pair else None
    click.echo(values(engines(load_pair(pair), plain, store), store), nl=False)

"""`neuron probe` and `neuron drain`: what a supervisor beside an engine asks of it."""

from __future__ import annotations

import click
import httpx

from neuron.commands.common import say
from neuron.commands.exit_codes import EXIT_CODES
from neuron.engine_probe import check_generates, wait_idle

URL = "http://127.0.0.1:8080"
url_argument = click.argument("url", default=URL)


@click.command(epilog=EXIT_CODES)
@url_argument
@click.option("--timeout-s", type=click.FloatRange(0.1), default=10.0, show_default=True)
def probe(url: str, timeout_s: float) -> None:
    """Exit 0 if the engine at URL generates: a token of ours, or of a request that runs."""
    with _client(url, timeout_s) as client:
        check_generates(client)


@click.command(epilog=EXIT_CODES)
@url_argument
@click.option(
    "--settle-s",
    type=click.FloatRange(0),
    default=15.0,
    show_default=True,
    help="How long it must have had nothing: gateways need that to learn that it goes.",
)
@click.option("--limit-s", type=click.FloatRange(0), default=600.0, show_default=True)
def drain(url: str, settle_s: float, limit_s: float) -> None:
    """Wait until the engine at URL has nothing left to do; call it before ending one."""
    with _client(url, timeout_s=5.0) as client:
        if not wait_idle(client, settle_s=settle_s, limit_s=limit_s):
            say(f"The engine still works after {limit_s:.0f} s; what runs there will be cut off.")


def _client(url: str, timeout_s: float) -> httpx.Client:
    return httpx.Client(base_url=url, timeout=timeout_s, trust_env=False)

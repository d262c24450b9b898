"""Options of what a host is set up with."""

from __future__ import annotations

import functools
from collections.abc import Callable

import click

from deploy.aws.bundle import Choice
from deploy.aws.commands.shared import Decorated
from neuron.pair import load_pair

OPTIONS = (
    click.option("--pair", required=True, help="Shipped pair or TOML file, of the stack nxdi."),
    click.option(
        "--engine-image", required=True, metavar="IMAGE@sha256:…", help="Target engine-nxdi."
    ),
    click.option(
        "--gateway-image", required=True, metavar="IMAGE@sha256:…", help="Target gateway."
    ),
    click.option(
        "--keys-secret",
        help="Secret with the gateway's API keys; without it, it listens on loopback only.",
    ),
)


def host_options(function: Callable[..., None]) -> Decorated:
    """They reach `function` as one argument, `choice`."""

    @functools.wraps(function)
    def called(
        *args: object,
        pair: str,
        engine_image: str,
        gateway_image: str,
        keys_secret: str | None,
        **rest: object,
    ) -> None:
        choice = Choice(load_pair(pair), engine_image, gateway_image, keys_secret)
        function(*args, choice=choice, **rest)

    decorated: Decorated = called
    for option in reversed(OPTIONS):
        decorated = option(decorated)
    return decorated

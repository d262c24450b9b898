"""`status`."""

from __future__ import annotations

import click

from deploy.aws.blocks import block_of
from deploy.aws.commands.shared import (
    EXIT_CODES,
    block_line,
    block_row,
    host_line,
    host_row,
    json_option,
    name_argument,
    region_option,
    setup_of,
    show,
)
from deploy.aws.errors import AbsentError
from deploy.aws.hosts import host_of
from deploy.aws.serving import probe


@click.command(epilog=EXIT_CODES)
@name_argument
@region_option
@json_option
@click.pass_context
def status(ctx: click.Context, name: str, region: str | None, as_json: bool) -> None:
    """The Capacity Block and the host of NAME, and whether it serves. Only reads."""
    setup = setup_of(ctx)
    clients = setup.clients(region)
    block, host = block_of(clients, name), host_of(clients, name)
    if block is None and host is None:
        raise AbsentError(f"{name!r} has neither a Capacity Block nor a host in this region.")
    serves = host is not None and host.state == "running"
    obstacle = probe(clients, setup.clock, host) if host is not None and serves else None
    ready = serves and obstacle is None
    lines = ["no Capacity Block" if block is None else block_line(block)]
    lines.append("no host" if host is None else host_line(host))
    if serves:
        lines.append("ready" if ready else f"not ready: {obstacle}")
    data = {
        "name": name, "block": block_row(block), "host": host_row(host), "ready": ready,
        "obstacle": obstacle,
    }  # fmt: skip
    show(as_json, data, lines)

"""`launch`."""

from __future__ import annotations

from typing import Any

import click

from deploy.aws.bundle import Choice, sha256
from deploy.aws.commands.host_options import host_options
from deploy.aws.commands.shared import (
    EXIT_CODES,
    apply_option,
    block_line,
    block_row,
    host_line,
    host_row,
    json_option,
    name_argument,
    region_option,
    setup_of,
    show,
    stack_option,
    teller,
    unchanged,
)
from deploy.aws.launch import Launch, prepare, start
from deploy.aws.serving import wait_ready

WAIT_S = 3600.0


@click.command(epilog=EXIT_CODES)
@name_argument
@host_options
@click.option("--on-demand", is_flag=True, help="Without a Capacity Block.")
@click.option("--subnet", help="Where the VPC has several in the block's zone.")
@click.option(
    "--wait", "wait_s", type=click.FloatRange(0), default=WAIT_S, show_default=True,
    help="Seconds until it serves; 0 does not wait.",
)  # fmt: skip
@stack_option
@apply_option
@region_option
@json_option
@click.pass_context
def launch(
    ctx: click.Context, name: str, choice: Choice, on_demand: bool, subnet: str | None,
    wait_s: float, stack: str, apply_: bool, region: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Start the host of NAME in its Capacity Block, once, and wait until it serves."""
    setup = setup_of(ctx)
    clients = setup.clients(region)
    planned = prepare(
        clients, setup.clock, name,
        choice=choice, stack=stack, subnet=subnet, on_demand=on_demand,
    )  # fmt: skip
    if not apply_:
        show(as_json, {"applied": False, **_row(planned)}, _lines(planned))
        unchanged("--apply")
        return
    host = start(clients, planned)
    with teller(f"{name} {host.id}") as tell:
        if wait_s > 0:
            host = wait_ready(clients, setup.clock, name, host.id, within_s=wait_s, say=tell)
    data = {"applied": True, **_row(planned), "host": host_row(host), "ready": wait_s > 0}
    show(as_json, data, [f"{'Ready' if wait_s > 0 else 'Started'}: {host_line(host)}"])


def _row(planned: Launch) -> dict[str, Any]:
    settings = planned.settings
    return {
        "name": settings.name,
        "pair": settings.pair.name,
        "instance": settings.pair.instance,
        "engines": settings.engines,
        "block": block_row(planned.block),
        "subnet": planned.subnet,
        "launch_template": planned.base.template,
        "bundle": sha256(planned.bundle),
        "drain_at": settings.drain_at,
        "loopback_only": settings.choice.keys_secret is None,
        "host": host_row(planned.running),
    }


def _lines(planned: Launch) -> list[str]:
    settings = planned.settings
    if planned.running is not None:
        return [f"It runs: {host_line(planned.running)}", "Would wait until it serves."]
    where = "on demand" if planned.block is None else f"in {block_line(planned.block)}"
    listens = "loopback only" if settings.choice.keys_secret is None else "with keys"
    lines = [
        f"Would start one {settings.pair.instance} {where}, subnet {planned.subnet}",
        f"Engines: {settings.engines} of {settings.pair.name}; the gateway listens {listens}",
        f"Bundle: s3://{planned.base.bucket}/hosts/{settings.name}/{sha256(planned.bundle)}.tar.gz",
    ]
    if settings.drain_at is not None:
        lines.append(f"It drains itself at {settings.drain_at:%Y-%m-%d %H:%M} UTC")
    return lines

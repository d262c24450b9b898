"""`drain` and `down`."""

from __future__ import annotations

import click

from deploy.aws import records
from deploy.aws.blocks import block_of
from deploy.aws.commands.shared import (
    EXIT_CODES,
    apply_option,
    block_line,
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
from deploy.aws.errors import AbsentError
from deploy.aws.hosts import base_of, find, host_of, terminate
from deploy.aws.serving import drain as drain_host
from deploy.aws.serving import started, wait_gone


@click.command(epilog=EXIT_CODES)
@name_argument
@apply_option
@region_option
@json_option
@click.pass_context
def drain(ctx: click.Context, name: str, apply_: bool, region: str | None, as_json: bool) -> None:
    """No new requests on the host of NAME; returns when the last answer has ended."""
    setup = setup_of(ctx)
    clients = setup.clients(region)
    host = host_of(clients, name)
    if host is None:
        raise AbsentError(f"{name!r} has no host in this region.")
    if apply_:
        with teller(name) as tell:
            tell("draining")
            drain_host(clients, setup.clock, host)
    data = {"applied": apply_, "host": host_row(host)}
    show(as_json, data, [f"{'Drained' if apply_ else 'Would drain'} {host_line(host)}"])
    if not apply_:
        unchanged("--apply")


@click.command(epilog=EXIT_CODES)
@name_argument
@click.option("--no-drain", is_flag=True, help="End running answers as well.")
@stack_option
@apply_option
@region_option
@json_option
@click.pass_context
def down(
    ctx: click.Context, name: str, no_drain: bool, stack: str, apply_: bool, region: str | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Drain and terminate the host of NAME, and remove all that its launch left."""
    setup = setup_of(ctx)
    clients = setup.clients(region)
    hosts = find(clients, name)
    removed = 0
    if apply_:
        with teller(name) as tell:
            if not hosts and records.read(clients, base_of(clients, stack).bucket, name):
                hosts = started(clients, setup.clock, name, tell)
            # First what costs money: a missing stack must not keep a host alive.
            for host in hosts:
                if host.state == "running" and not no_drain:
                    tell(f"draining {host.id}")
                    drain_host(clients, setup.clock, host)
            if hosts:
                terminate(clients, hosts)
            wait_gone(clients, setup.clock, name, tell)
        removed = records.forget(clients, base_of(clients, stack).bucket, name)
    block = block_of(clients, name)
    verb = "Terminated" if apply_ else "Would terminate"
    lines = [f"{verb} {one.id} in {one.zone}" for one in hosts] or [f"{name} has no host"]
    lines.append(
        f"Removed {removed} objects of its launch"
        if apply_
        else "Would remove what its launch left"
    )
    if block is not None:
        lines.append(f"Stays, as it cannot be given back: {block_line(block)}")
    data = {
        "applied": apply_, "hosts": [host_row(one) for one in hosts], "removed": removed,
        "block": None if block is None else block.id,
    }  # fmt: skip
    show(as_json, data, lines)
    if not apply_:
        unchanged("--apply")

"""Options and output that the commands share: data on stdout, once; progress on stderr."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import Any

import click
from rich.console import Console

from deploy.aws.blocks import Block, Offering
from deploy.aws.clients import Setup
from deploy.aws.hosts import Host
from deploy.aws.names import checked

EXIT_CODES = """\b
Exit codes:
  0  done, or said what would be done
  1  failed
  2  bad usage, or settings that do not fit what is there
  3  no offering, block, stack or host of that name
  4  not ready, drained or gone yet: the same command goes on
  5  nobody knows yet whether a purchase was made
  6  AWS cannot be reached, or refuses
"""

Decorated = Callable[..., Any]


def _name(ctx: click.Context, param: click.Parameter, value: str) -> str:
    return checked(value)


name_argument = click.argument("name", callback=_name)
region_option = click.option("--region", help="Instead of boto3's own.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
apply_option = click.option("--apply", "apply_", is_flag=True, help="Do it, not only say it.")
stack_option = click.option(
    "--stack", default="specserve", show_default=True, help="The CloudFormation stack."
)


def setup_of(ctx: click.Context) -> Setup:
    setup = ctx.obj
    assert isinstance(setup, Setup)  # noqa: S101 - the group sets it
    return setup


def show(as_json: bool, data: Mapping[str, Any], lines: Sequence[str]) -> None:
    click.echo(json.dumps(data, indent=2, default=_plain) if as_json else "\n".join(lines))


def unchanged(flag: str) -> None:
    click.echo(f"Nothing was changed: this was without {flag}.", err=True)


@contextmanager
def teller(what: str) -> Iterator[Callable[[str], None]]:
    """A spinner where somebody looks at it; else a line for each thing that is new."""
    console = Console(stderr=True)
    if console.is_terminal:
        with console.status(what) as status:
            yield lambda line: status.update(f"{what}: {line}")
        return
    last = ""

    def tell(line: str) -> None:
        nonlocal last
        if line != last:
            click.echo(f"{what}: {line}", err=True)
        last = line

    yield tell


def offering_row(one: Offering) -> dict[str, Any]:
    return {**asdict(one), "hours": one.hours, "per_hour": one.per_hour}


def offering_line(one: Offering) -> str:
    return (
        f"{one.id}  {one.instance}  {one.zone}  {_time(one.start)} to {_time(one.end)}  "
        f"{one.hours:g} h  {one.fee} USD  {one.per_hour:.2f} USD/h"
    )


def block_row(one: Block | None) -> dict[str, Any] | None:
    return None if one is None else {**asdict(one), "terminates_at": one.terminates_at}


def block_line(one: Block) -> str:
    return (
        f"{one.id}  {one.state}  {one.instance}  {one.zone}  {_time(one.start)} to "
        f"{_time(one.end)}; EC2 ends its instances from {_time(one.terminates_at)}"
    )


def host_row(one: Host | None) -> dict[str, Any] | None:
    return None if one is None else asdict(one)


def host_line(one: Host) -> str:
    drains = f"; drains at {one.drain_at}" if one.drain_at else ""
    return f"{one.id}  {one.state}  {one.zone}  {one.address or 'no address'}{drains}"


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"{value!r} has no form in JSON")

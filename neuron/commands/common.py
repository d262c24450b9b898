"""Options and output that the commands for artefacts and weights share."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from neuron.artefacts.store import Progress as Report
from neuron.artefacts.store import Store, open_store, silent

UNITS = {"h": "hours", "d": "days", "w": "weeks"}


class StoreParam(click.ParamType[Store]):
    name = "store"

    def __init__(self, *, to_read: bool) -> None:
        self._to_read = to_read

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Store:
        store = open_store(str(value))
        if self._to_read:
            store.check()
        return store


class AgeParam(click.ParamType[timedelta]):
    name = "age"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        if isinstance(value, timedelta):
            return value
        match = re.fullmatch(r"(\d{1,5})([hdw])", str(value))
        if match is None:
            self.fail(f"{value!r} is no age: write 36h, 30d or 8w.", param, ctx)
        return timedelta(**{UNITS[match[2]]: int(match[1])})


Decorated = Callable[..., Any]


def store_option(
    *, required: bool = True, envvar: bool = True, to_read: bool = True
) -> Callable[[Decorated], Decorated]:
    """Not `to_read`: a directory that is not there yet is one that a publisher makes."""
    return click.option(
        "--store",
        type=StoreParam(to_read=to_read),
        envvar="SPECSERVE_STORE" if envvar else None,
        show_envvar=envvar,
        required=required,
        metavar="ADDRESS",
        help="s3://bucket/prefix or a directory.",
    )


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
plain_option = click.option("--plain", is_flag=True, help="The same target without speculation.")
versions_option = click.option(
    "--neuron-version",
    "neuron_versions",
    multiple=True,
    metavar="SDK|PACKAGE=VERSION",
    help="What compiles, where it is not installed here; may be repeated.",
)
target_digest_option = click.option(
    "--target-digest",
    metavar="SHA256",
    help="What the target holds, where it is not on this machine: `neuron weights list`.",
)
draft_digest_option = click.option(
    "--draft-digest", metavar="SHA256", help="The same of the draft."
)


def say(line: str) -> None:
    click.echo(line, err=True)


def show(as_json: bool, data: Mapping[str, Any] | list[dict[str, Any]], text: str) -> None:
    """Data on stdout, once: the one form or the other."""
    click.echo(json.dumps(data, indent=2) if as_json else text)


def gigabytes(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 10_000_000 else f"{size / 1e3:.1f} kB"


@contextmanager
def bar(what: str, total: int) -> Iterator[Report]:
    """A bar on stderr where somebody looks at it, else one line."""
    console = Console(stderr=True)
    if not console.is_terminal:
        say(f"{what}: up to {gigabytes(total)}")
        yield silent
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda count: progress.advance(task, count)


def existing_folder(ref: str) -> Path | None:
    path = Path(ref).expanduser()
    return path if path.is_dir() else None

"""`neuron artefacts prune`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from neuron.artefacts.catalogue import holdings
from neuron.artefacts.errors import ArtefactError
from neuron.artefacts.manifest import Kind
from neuron.artefacts.prune import (
    SHORTEST,
    Verdict,
    judge,
    left_over,
    matching_nothing,
    remove,
    remove_left_over,
)
from neuron.artefacts.store import Store, manifest_key
from neuron.commands.common import AgeParam, gigabytes, json_option, show, store_option
from neuron.commands.exit_codes import EXIT_CODES


@click.command("prune", epilog=EXIT_CODES)
@store_option()
@click.option("--kind", type=click.Choice(["artefacts", "weights"]), default="artefacts")
@click.option("--older-than", type=AgeParam(), default="30d", show_default=True)
@click.option("--keep", multiple=True, metavar="NAME|ID", help="Never remove it; may be repeated.")
@click.option(
    "--retired",
    multiple=True,
    metavar="NAME|ID",
    help="Its newest one needs no keeping; a whole id: an unreadable one.",
)
@click.option("--yes", is_flag=True, help="Remove. Without it nothing is changed.")
@json_option
def prune_command(
    store: Store,
    kind: Kind,
    older_than: timedelta,
    keep: tuple[str, ...],
    retired: tuple[str, ...],
    yes: bool,
    as_json: bool,
) -> None:
    """Say what is old and named by nothing, and with --yes remove it.

    Kept is the newest of each name, what --keep names, weights that an artefact is compiled for,
    and whatever is younger than --older-than, or than a day. No weights are removed while the
    manifest of an artefact cannot be read.
    """
    report, text = prune_report(
        store, kind, datetime.now(UTC), older_than, keep=keep, retired=retired, yes=yes
    )
    show(as_json, report, text)


def prune_report(
    store: Store,
    kind: Kind,
    now: datetime,
    older_than: timedelta,
    *,
    keep: Sequence[str],
    retired: Sequence[str],
    yes: bool,
) -> tuple[dict[str, Any], str]:
    """What is or would be done, as data and as text. Only with `yes` is anything removed.

    Raises click.UsageError for a word that names nothing, and ArtefactError for weights beside an
    artefact whose manifest cannot be read.
    """
    held = holdings(store, kind)
    lost = matching_nothing(held, keep, retired)
    if lost:
        raise click.UsageError(
            f"{lost[0]!r} is neither a name nor an id of {kind} in {store.address}: nothing was "
            f"changed; `neuron {kind} list` shows what it holds."
        )
    used = _used(store) if kind == "weights" else set()
    verdicts = judge(held, now=now, older_than=older_than, keep=keep, retired=retired, used=used)
    extra = [(v.held, left_over(v.held, now=now)) for v in verdicts if not v.remove]
    unfinished = list(store.unfinished(kind, SHORTEST))
    if yes:
        verdicts = [_removed(store, verdict) for verdict in verdicts]
        extra = [(one, files) for one, files in extra if remove_left_over(store, one, files)]
        store.abandon(kind, SHORTEST)
    left = [file.key for _, files in extra for file in files]
    report = {
        "removed": yes,
        "verdicts": [_row(verdict) for verdict in verdicts],
        "left_over_files": left,
        "unfinished_uploads": unfinished,
    }
    lines = [_line(verdict, yes) for verdict in verdicts]
    lines += [f"{_verb(yes)}  {key}  left over by another publisher" for key in left]
    lines += [f"{_verb(yes)}  {key}  an upload that never ended" for key in unfinished]
    if not yes and (left or unfinished or any(verdict.remove for verdict in verdicts)):
        lines.append("Nothing was changed: --yes removes.")
    return report, "\n".join(lines) or f"{store.address} holds none."


def _removed(store: Store, verdict: Verdict) -> Verdict:
    if not verdict.remove or remove(store, verdict.held):
        return verdict
    return Verdict(verdict.held, remove=False, why="published to since it was judged")


def _used(store: Store) -> set[str]:
    """Digests of the models that artefacts in the store are compiled for.

    Raises ArtefactError where one of them does not say.
    """
    held = holdings(store, "artefacts")
    unread = next((one for one in held if one.unread), None)
    if unread is not None:
        raise ArtefactError(
            f"{store.address}/{manifest_key('artefacts', unread.id)} cannot be read, so nobody "
            "knows which weights its artefact needs, and none was removed: publish it again with "
            "`neuron artefacts push … --repair`, or give it up with `neuron artefacts prune "
            f"--retired {unread.id} --yes`."
        )
    keys = [one.manifest.key for one in held if one.manifest and one.manifest.key]
    return {digest for key in keys for digest in (key.target, key.draft) if digest}


def _row(verdict: Verdict) -> dict[str, Any]:
    held = verdict.held
    return {
        "id": held.id,
        "name": held.manifest.name if held.manifest else None,
        "size": held.size,
        "remove": verdict.remove,
        "why": verdict.why,
    }


def _line(verdict: Verdict, yes: bool) -> str:
    held = verdict.held
    name = held.manifest.name if held.manifest else "unnamed"
    verb = _verb(yes) if verdict.remove else "keep"
    return f"{verb:12}  {held.id[:12]}  {gigabytes(held.size):>10}  {name}  {verdict.why}"


def _verb(yes: bool) -> str:
    return "removed" if yes else "would remove"

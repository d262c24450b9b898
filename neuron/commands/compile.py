"""`neuron compile`: plan, run and publish."""

from __future__ import annotations

import signal
import sys
from dataclasses import asdict
from typing import Any

import click

from neuron.artefacts.catalogue import load
from neuron.artefacts.compile import LIMIT_S, NOT_RUN, Plan, compiled, plan
from neuron.artefacts.disk import disk
from neuron.artefacts.errors import NotPublishedError, UnknownVersionError
from neuron.artefacts.publish import publish
from neuron.artefacts.pull import alone
from neuron.artefacts.store import Store
from neuron.commands.common import (
    bar,
    draft_digest_option,
    gigabytes,
    json_option,
    plain_option,
    say,
    show,
    store_option,
    target_digest_option,
    versions_option,
)
from neuron.commands.exit_codes import EXIT_CODES
from neuron.commands.pairs import digests_of
from neuron.commands.rows import manifest_row
from neuron.launch import MAX_PORT, Endpoint, expected
from neuron.pair import load_pair
from neuron.stacks.nxdi_checks import check_device

TERMINATED = 143


@click.command("compile", epilog=EXIT_CODES)
@click.argument("pair")
@store_option(required=False, to_read=False)
@plain_option
@click.option("--dry-run", is_flag=True, help="Print the plan, on any machine.")
@click.option("--port", type=click.IntRange(1, MAX_PORT), default=8100, show_default=True)
@click.option("--limit-s", type=click.IntRange(1), default=LIMIT_S, show_default=True)
@versions_option
@target_digest_option
@draft_digest_option
@json_option
def compile_command(
    pair: str,
    store: Store | None,
    plain: bool,
    dry_run: bool,
    port: int,
    limit_s: int,
    neuron_versions: tuple[str, ...],
    target_digest: str | None,
    draft_digest: str | None,
    as_json: bool,
) -> None:
    """Compile PAIR on this Neuron host, time it, and publish it to --store.

    The engine itself is started twice: it compiles in the first start and only loads in the
    second. No such start has been run on a device by the authors of this command.
    """
    chosen = load_pair(pair)
    if not dry_run:
        check_device(chosen)
    planned = plan(
        chosen,
        expected,
        Endpoint(port=port),
        plain=plain,
        neuron_versions=neuron_versions,
        digests=digests_of(chosen, target_digest, draft_digest),
    )
    if dry_run:
        show(as_json, _planned(planned, store), _planned_text(planned, store))
        return
    if not planned.versions.measured:
        raise UnknownVersionError(
            "None of the Neuron compiler's packages is installed here, so what compiles is not "
            "known: run this in the Neuron image; --dry-run prints the plan anywhere."
        )
    _run(planned, store, limit_s, as_json)


def _run(planned: Plan, store: Store | None, limit_s: int, as_json: bool) -> None:
    # As SystemExit it unwinds, so the engine is stopped and gives its device back.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    if store is not None and _is_published(planned, store):
        say(f"{store.address} has it already: `neuron artefacts pull {planned.pair.name}`.")
        show(as_json, {"id": _id(planned), "created": False}, str(_id(planned)))
        return
    # Two at once would compile into one folder, and a pull could take it away half-way.
    with disk(planned.folder), alone(planned.folder):
        _compile(planned, store, limit_s, as_json)


def _compile(planned: Plan, store: Store | None, limit_s: int, as_json: bool) -> None:
    say(f"Compiling into {planned.folder}. {NOT_RUN}")
    manifest = compiled(planned, limit_s=limit_s)
    row: dict[str, Any] = {**manifest_row(manifest), "folder": str(planned.folder)}
    text = f"{manifest.id}  {planned.folder}"
    if store is not None:
        with bar("Uploading", manifest.size) as progress:
            done = publish(store, planned.folder, manifest, progress=progress)
        row |= {"created": done.created, "moved": done.moved}
        text += f"  published in {store.address}, moved {gigabytes(done.moved)}"
    show(as_json, row, text)


def _is_published(planned: Plan, store: Store) -> bool:
    if planned.key is None:
        return False
    try:
        load(store, "artefacts", planned.key.digest)
    except NotPublishedError:
        return False
    return True


def _id(planned: Plan) -> str | None:
    return planned.key.digest if planned.key else None


def _planned(planned: Plan, store: Store | None) -> dict[str, Any]:
    return {
        "pair": planned.pair.name,
        "id": _id(planned),
        "unknown": planned.unknown or None,
        "key": planned.key.model_dump(mode="json") if planned.key else None,
        "versions": {**planned.versions.packages},
        "versions_from": planned.versions.source,
        "folder": str(planned.folder),
        "store": store.address if store else None,
        "starts": ["compile", "load"],
        "command": asdict(planned.command),
        "run_on_a_device": False,
    }


def _planned_text(planned: Plan, store: Store | None) -> str:
    versions = ", ".join(f"{name} {value}" for name, value in planned.versions.packages.items())
    steps = [
        f"artefact   {_id(planned) or planned.unknown}",
        f"versions   {versions}",
        f"           ({planned.versions.source})",
        f"folder     {planned.folder}",
        "start 1    compiles, until /health answers; then it is stopped",
        f"           {planned.command.shell()}",
        "start 2    the same command again, which now only loads: its time is the probe's",
        f"publish    {store.address if store else 'nowhere: --store was not given'}",
        NOT_RUN,
    ]
    return "\n".join(steps)

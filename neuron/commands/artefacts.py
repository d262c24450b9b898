"""`neuron artefacts`: what is compiled, where it is kept, and whether it is whole."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from neuron.artefacts import manifest as manifests
from neuron.artefacts.catalogue import holdings, load, resolve
from neuron.artefacts.errors import NotPublishedError
from neuron.artefacts.key import ArtefactKey, nearest
from neuron.artefacts.manifest import Manifest
from neuron.artefacts.publish import publish
from neuron.artefacts.pull import pull
from neuron.artefacts.store import Store
from neuron.artefacts.verify import verify
from neuron.commands.common import (
    bar,
    draft_digest_option,
    existing_folder,
    gigabytes,
    json_option,
    plain_option,
    show,
    store_option,
    target_digest_option,
    versions_option,
)
from neuron.commands.exit_codes import EXIT_CODES
from neuron.commands.pairs import wanted
from neuron.commands.policy import policy_command
from neuron.commands.pruning import prune_command
from neuron.commands.rows import held_row, held_text, manifest_row
from neuron.launch import expected
from neuron.pair import load_pair


@click.group(epilog=EXIT_CODES)
def artefacts() -> None:
    """Compiled graphs: list, move, check and remove them."""


@artefacts.command("list", epilog=EXIT_CODES)
@store_option()
@json_option
def list_command(store: Store, as_json: bool) -> None:
    """Everything compiled that the store holds, half-published and damaged ones too."""
    held = holdings(store, "artefacts")
    show(as_json, [held_row(one) for one in held], held_text(held, store.address))


@artefacts.command(epilog=EXIT_CODES)
@click.argument("what", metavar="PAIR|FOLDER")
@store_option(to_read=False)
@plain_option
@click.option("--repair", is_flag=True, help="Upload every file again, over what is there.")
@json_option
def push(what: str, store: Store, plain: bool, repair: bool, as_json: bool) -> None:
    """Publish what `neuron compile` left in the folder of PAIR, or in FOLDER."""
    folder = existing_folder(what) or _folder_of(what, plain)
    manifest = _described(folder, what)
    _check_kind(manifest, folder, f"`neuron weights push {folder}` publishes them")
    with bar("Verifying", manifest.size) as progress:
        verify(folder, manifest, progress)
    with bar("Uploading", manifest.size) as progress:
        done = publish(store, folder, manifest, repair=repair, progress=progress)
    row = {**manifest_row(done.manifest), "created": done.created, "moved": done.moved}
    said = f"moved {gigabytes(done.moved)}" if done.created else "was there already"
    show(as_json, row, f"{done.manifest.id}  {done.manifest.name}  {said}")


@artefacts.command("pull", epilog=EXIT_CODES)
@click.argument("what", metavar="PAIR|ID")
@store_option()
@plain_option
@click.option("--to", type=click.Path(path_type=Path), help="Folder; a pair has one of its own.")
@versions_option
@target_digest_option
@draft_digest_option
@json_option
def pull_command(
    what: str,
    store: Store,
    plain: bool,
    to: Path | None,
    neuron_versions: tuple[str, ...],
    target_digest: str | None,
    draft_digest: str | None,
    as_json: bool,
) -> None:
    """Bring the artefact that PAIR wants, or the one of ID, to its folder; resumes."""
    if _is_id(what):
        if to is None:
            raise click.UsageError("An id says nothing about a folder: give --to.")
        manifest = resolve(store, "artefacts", what)
    else:
        place, key = wanted(
            load_pair(what),
            plain=plain,
            neuron_versions=neuron_versions,
            target_digest=target_digest,
            draft_digest=draft_digest,
        )
        to = to or place.folder
        manifest = _published(store, what, key)
    with bar("Downloading", manifest.size) as progress:
        done = pull(store, manifest, to.expanduser().resolve(), progress=progress)
    row = {**manifest_row(done.manifest), "folder": str(done.folder), "moved": done.moved}
    said = f"moved {gigabytes(done.moved)}" if done.moved else "verified, nothing moved"
    show(as_json, row, f"{done.folder}  {said}")


@artefacts.command("verify", epilog=EXIT_CODES)
@click.argument("what", metavar="PAIR|FOLDER|ID")
@store_option(required=False, envvar=False)
@plain_option
@json_option
def verify_command(what: str, store: Store | None, plain: bool, as_json: bool) -> None:
    """Read every byte of a folder, or of an ID or name in the store, against its manifest."""
    if store is not None and existing_folder(what) is None:
        manifest = resolve(store, "artefacts", what)
        with (
            tempfile.TemporaryDirectory(prefix="specserve-") as scratch,
            bar("Downloading to verify", manifest.size) as progress,
        ):
            pull(store, manifest, Path(scratch) / "artefact", progress=progress)
        where = store.address
    else:
        folder = existing_folder(what) or _folder_of(what, plain)
        manifest = _described(folder, what)
        right = f"`neuron weights pull {manifest.name} --to {folder}` verifies them"
        _check_kind(manifest, folder, right)
        with bar("Verifying", manifest.size) as progress:
            verify(folder, manifest, progress)
        where = str(folder)
    show(
        as_json,
        {**manifest_row(manifest), "where": where, "verified": True},
        f"{where}  {manifest.id[:12]}  {len(manifest.files)} files are as published",
    )


artefacts.add_command(prune_command)
artefacts.add_command(policy_command)


def _published(store: Store, pair: str, key: ArtefactKey) -> Manifest:
    try:
        return load(store, "artefacts", key.digest)
    except NotPublishedError as error:
        others = (one.manifest for one in holdings(store, "artefacts") if one.manifest)
        known = [(f"{one.name} {one.id[:12]}", one.key) for one in others if one.key]
        raise NotPublishedError(
            f"{store.address} holds no artefact {key.digest[:12]} for {pair}"
            f"{nearest(key, known)}: `neuron compile {pair} --store {store.address}` makes one."
        ) from error


def _is_id(what: str) -> bool:
    return len(what) >= 8 and not set(what) - set("0123456789abcdef")


def _folder_of(what: str, plain: bool) -> Path:
    from neuron.artefacts.wanted import place_of

    return place_of(load_pair(what), expected, plain=plain).folder


def _check_kind(manifest: Manifest, folder: Path, right: str) -> None:
    if manifest.kind != "artefacts":
        raise click.UsageError(f"{folder} holds weights, not an artefact: {right}.")


def _described(folder: Path, what: str) -> Manifest:
    try:
        return manifests.read(folder)
    except NotPublishedError as error:
        raise NotPublishedError(
            f"{str(error).rstrip('.')}, so nobody knows what it was compiled for: `neuron compile` "
            "leaves one."
        ) from error

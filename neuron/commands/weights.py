"""`neuron weights`: models to a store, and from a store or a hub to a local disk."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import click

from neuron.artefacts import manifest as manifests
from neuron.artefacts.catalogue import holdings, resolve
from neuron.artefacts.content import model_digest
from neuron.artefacts.errors import NotPublishedError
from neuron.artefacts.hub import pull_from_hub
from neuron.artefacts.publish import publish
from neuron.artefacts.pull import pull
from neuron.artefacts.store import Store
from neuron.artefacts.verify import verify
from neuron.commands.common import (
    bar,
    existing_folder,
    gigabytes,
    json_option,
    say,
    show,
    store_option,
)
from neuron.commands.exit_codes import EXIT_CODES
from neuron.commands.rows import held_row, held_text, manifest_row
from neuron.errors import ModelNotFoundError
from neuron.models import KNOWN_MODELS, locate, store_name


@click.group(epilog=EXIT_CODES)
def weights() -> None:
    """Models: to a store, and from a store or a hub to a local disk."""


@weights.command("list", epilog=EXIT_CODES)
@store_option()
@json_option
def list_command(store: Store, as_json: bool) -> None:
    """Every model in the store; `model` is what --target-digest takes."""
    held = holdings(store, "weights")
    show(as_json, [held_row(one) for one in held], held_text(held, store.address))


@weights.command(epilog=EXIT_CODES)
@click.argument("model")
@store_option(to_read=False)
@click.option("--name", help="In the store; else a known model's hub id, or the folder's name.")
@click.option("--repair", is_flag=True, help="Upload every file again, over what is there.")
@json_option
def push(model: str, store: Store, name: str | None, repair: bool, as_json: bool) -> None:
    """Publish MODEL, a known name, a folder or a hub id on this machine."""
    folder = _folder_of(model)
    manifest = _described(folder, name or KNOWN_MODELS.get(model.lower()))
    if name not in (None, manifest.name):
        raise click.UsageError(
            f"By its manifest {folder} is {manifest.name!r}, and weights have one name: leave out "
            "--name."
        )
    with bar("Uploading", manifest.size) as progress:
        done = publish(store, folder, manifest, repair=repair, progress=progress)
    row = {**manifest_row(done.manifest), "created": done.created, "moved": done.moved}
    said = f"moved {gigabytes(done.moved)}" if done.created else "was there already"
    text = f"{done.manifest.id}  {done.manifest.name}  {said}  model {done.manifest.model}"
    show(as_json, row, text)


@weights.command("pull", epilog=EXIT_CODES)
@click.argument("model")
@click.option("--to", type=click.Path(path_type=Path), required=True, help="The model's folder.")
@store_option(required=False, to_read=False)
@click.option("--hub", is_flag=True, help="From the model hub instead of a store.")
@click.option("--revision", default="main", show_default=True, help="With --hub.")
@json_option
def pull_command(
    model: str, to: Path, store: Store | None, hub: bool, revision: str, as_json: bool
) -> None:
    """Bring MODEL, a name or an id in the store, or with --hub a hub id, to a folder; resumes."""
    target = to.expanduser().resolve()
    if hub:
        done = pull_from_hub(KNOWN_MODELS.get(model.lower(), model), target, revision=revision)
    elif store is None:
        raise click.UsageError("Where from? Give --store or --hub.")
    else:
        store.check()
        manifest = resolve(store, "weights", KNOWN_MODELS.get(model.lower(), model))
        with bar("Downloading", manifest.size) as progress:
            done = pull(store, manifest, target, progress=progress)
    row = {**manifest_row(done.manifest), "folder": str(done.folder), "moved": done.moved}
    said = f"moved {gigabytes(done.moved)}" if done.moved else "verified, nothing moved"
    show(as_json, row, f"{done.folder}  {said}  model {done.manifest.model}")


def _folder_of(model: str) -> Path:
    try:
        return locate(model)
    except ModelNotFoundError:
        folder = existing_folder(model)
        if folder is not None:
            # An artefact has no config.json: what is wrong there is the command.
            with suppress(NotPublishedError):
                _check_kind(manifests.read(folder), folder)
        raise


def _check_kind(manifest: manifests.Manifest, folder: Path) -> None:
    if manifest.kind != "weights":
        raise click.UsageError(
            f"{folder} holds an artefact, not weights: `neuron artefacts push {folder}` "
            "publishes it."
        )


def _described(folder: Path, name: str | None) -> manifests.Manifest:
    """The manifest that is there, if every byte is still what it says; else a new one."""
    try:
        there = manifests.read(folder)
    except NotPublishedError:
        say(f"Hashing {folder}")
        made = manifests.describe(folder, "weights", name or store_name(folder))
        # Says so at once where the folder is no model.
        model_digest(made.files)
        return made
    _check_kind(there, folder)
    with bar("Verifying", there.size) as progress:
        verify(folder, there, progress)
    return there

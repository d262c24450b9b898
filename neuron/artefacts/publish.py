"""From a folder to a store: every file first, the manifest last and once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from neuron.artefacts.catalogue import load
from neuron.artefacts.disk import disk
from neuron.artefacts.errors import ArtefactError, DamagedError, NotPublishedError
from neuron.artefacts.manifest import Manifest
from neuron.artefacts.store import Progress, Store, Transfer, file_key, manifest_key, silent

REUSE_WITHIN = timedelta(hours=12)
"""Files of a publish that was cut short are used up to this age; pruning starts well above it."""


@dataclass(frozen=True)
class Published:
    manifest: Manifest
    """The one that is in the store now."""
    created: bool
    """False: it was there already, by this or another publisher."""
    moved: int
    """Bytes uploaded."""


def missing_in(store: Store, manifest: Manifest, *, since: datetime | None = None) -> list[str]:
    """SHA-256 of each file that the store lacks, or has of another size or from before `since`."""
    prefix = file_key(manifest.kind, manifest.id, "")
    held = {
        stored.key.removeprefix(prefix): stored.size
        for stored in store.walk(prefix)
        if since is None or stored.modified >= since
    }
    wanted = {file.sha256: file.size for file in manifest.files}
    return [sha256 for sha256, size in wanted.items() if held.get(sha256) != size]


def publish(
    store: Store,
    folder: Path,
    manifest: Manifest,
    *,
    repair: bool = False,
    progress: Progress = silent,
) -> Published:
    """Goes on where an earlier publish was cut short; safe beside another publisher.

    `repair`: everything is uploaded again, and the manifest takes the place of the one there.
    Raises StoreError, ArtefactError for a file that changed, DamagedError for what `repair` is for.
    """
    _check_sizes(folder, manifest)
    if not repair:
        there = _published(store, manifest)
        if there is not None:
            return Published(there, created=False, moved=0)
    since = datetime.now(UTC) - REUSE_WITHIN
    wanted = {file.sha256: file for file in manifest.files}
    lacking = list(wanted) if repair else missing_in(store, manifest, since=since)
    transfers = [
        Transfer(
            folder / wanted[sha256].path,
            file_key(manifest.kind, manifest.id, sha256),
            wanted[sha256].size,
        )
        for sha256 in lacking
    ]
    with disk(folder):
        store.upload(transfers, progress)
    lost = missing_in(store, manifest)
    if lost:
        raise DamagedError(
            f"{len(lost)} files of {manifest.name} are gone from {store.address} again: is "
            "something deleting there? Publish again."
        )
    _check_sizes(folder, manifest)
    moved = sum(transfer.size for transfer in transfers)
    key = manifest_key(manifest.kind, manifest.id)
    if repair:
        store.replace(key, manifest.to_bytes())
        return Published(manifest, created=True, moved=moved)
    if store.create(key, manifest.to_bytes()):
        return Published(manifest, created=True, moved=moved)
    # Another publisher was first; the files of both are there, by content, and theirs is whole.
    return Published(load(store, manifest.kind, manifest.id), created=False, moved=moved)


def _published(store: Store, manifest: Manifest) -> Manifest | None:
    try:
        there = load(store, manifest.kind, manifest.id)
    except NotPublishedError:
        return None
    lost = missing_in(store, there)
    if lost:
        raise DamagedError(
            f"{manifest.name} ({manifest.id[:12]}) is published in {store.address}, but "
            f"{len(lost)} of its files are gone or cut short: publish again with --repair."
        )
    return there


def _check_sizes(folder: Path, manifest: Manifest) -> None:
    for file in manifest.files:
        path = folder / file.path
        if not path.is_file() or path.stat().st_size != file.size:
            raise ArtefactError(
                f"{path} is not what the manifest beside it says: something has changed the "
                "folder since; compile again, or remove it and pull."
            )

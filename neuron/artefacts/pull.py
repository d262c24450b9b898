"""From a store to a folder: into a temporary one beside it, verified, and renamed last."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from neuron.artefacts import manifest as manifests
from neuron.artefacts.content import FileEntry
from neuron.artefacts.disk import disk
from neuron.artefacts.errors import ArtefactError, DamagedError, NotPublishedError, StoreError
from neuron.artefacts.manifest import Manifest
from neuron.artefacts.store import Progress, Store, Transfer, file_key, silent
from neuron.artefacts.strangers import check_strangers, drop_left_overs
from neuron.artefacts.verified import remember, state_of
from neuron.artefacts.verify import named, wrong_files


@dataclass(frozen=True)
class Pulled:
    folder: Path
    manifest: Manifest
    moved: int
    """Bytes; 0 where the folder was there already and verified."""


def free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def pull(
    store: Store,
    manifest: Manifest,
    target: Path,
    *,
    progress: Progress = silent,
    free: Callable[[Path], int] = free_bytes,
) -> Pulled:
    """`target` afterwards verifies against `manifest`, or is not there and something is raised.

    Goes on where an earlier pull was cut short, file by file; two on one machine wait for each
    other. Raises StoreError, DamagedError, and ArtefactError where `target` is something else.
    """
    with disk(target), alone(target):
        there = _there(target, manifest)
        if there is not None:
            return Pulled(target, there, moved=0)
        partial = partial_of(target)
        partial.mkdir(exist_ok=True)
        drop_left_overs(partial, {file.path for file in manifest.files})
        # The next pull, of whatever, knows by it which files here are not the user's.
        manifests.begin(partial, manifest)
        before = state_of(partial)
        lacking = wrong_files(partial, manifest.files)
        _check_room(partial, lacking, free)
        _fetch(store, manifest, partial, lacking, progress)
        fetched = state_of(partial)
        _check(store, partial, lacking)
        manifests.write(partial, manifest)
        partial.rename(target)
        kept = before.keys() - {file.path for file in lacking}
        remember(target, manifest, {**fetched, **{path: before[path] for path in kept}})
        return Pulled(target, manifest, moved=sum(file.size for file in lacking))


def partial_of(target: Path, commit: str = "") -> Path:
    """`commit`: of a hub, so that what came from another is not taken for part of it."""
    return target.parent / f".{target.name}{'.' if commit else ''}{commit}.partial"


@contextmanager
def alone(target: Path) -> Iterator[None]:
    """Freed by the kernel when the process ends, however it does."""
    target.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(target.parent / f".{target.name}.lock", os.O_CREAT | os.O_RDWR, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _there(target: Path, wanted: Manifest) -> Manifest | None:
    """None: nothing is at `target` any more; what can be used of it is in the partial folder."""
    if not target.exists():
        return None
    if target.is_mount():
        raise ArtefactError(
            f"{target} is a mount point, which nothing can be renamed to: give a folder in it."
        )
    if not target.is_dir():
        raise ArtefactError(f"{target} is a file: give a folder.")
    if not any(target.iterdir()):
        target.rmdir()
        return None
    found: Manifest | None
    try:
        found = manifests.read(target)
    except NotPublishedError as error:
        raise ArtefactError(
            f"{target} holds something without our manifest, which is not overwritten: give "
            "another folder, or remove this one."
        ) from error
    except DamagedError:
        found = None
    if found is not None and (found.kind, found.id) != (wanted.kind, wanted.id):
        raise ArtefactError(
            f"{target} holds {found.kind} {found.id[:12]} ({found.name}) and not "
            f"{wanted.id[:12]}: give another folder, or remove this one."
        )
    # By its own list: of one id, what another publisher compiled is as good.
    before = state_of(target)
    if found is not None and not wrong_files(target, found.files):
        remember(target, found, before)
        return found
    ours = (*wanted.files, *(found.files if found else ()))
    check_strangers(target, {file.path for file in ours})
    # Out of the way before anything else, so that nobody loads it meanwhile.
    partial = partial_of(target)
    if partial.exists():
        drop_left_overs(partial, {file.path for file in wanted.files})
        shutil.rmtree(partial)
    target.rename(partial)
    return None


def _check_room(partial: Path, lacking: Sequence[FileEntry], free: Callable[[Path], int]) -> None:
    needed = sum(file.size for file in lacking)
    there = free(partial)
    if needed > there:
        raise StoreError(
            f"The disk of {partial.parent} is too full: {needed / 1e9:.1f} GB are to come and "
            f"{there / 1e9:.1f} GB are free; free some space or give another folder."
        )


def _fetch(
    store: Store,
    manifest: Manifest,
    partial: Path,
    lacking: Sequence[FileEntry],
    progress: Progress,
) -> None:
    for file in lacking:
        (partial / file.path).parent.mkdir(parents=True, exist_ok=True)
        (partial / file.path).unlink(missing_ok=True)
    store.download(
        [
            Transfer(
                partial / file.path, file_key(manifest.kind, manifest.id, file.sha256), file.size
            )
            for file in lacking
        ],
        progress,
    )


def _check(store: Store, partial: Path, fetched: Sequence[FileEntry]) -> None:
    wrong = wrong_files(partial, fetched)
    if wrong:
        raise DamagedError(
            f"What came from {store.address} is damaged: {named(wrong)} not what the manifest "
            "says; nothing was put in place; publish again with --repair where it was compiled."
        )

"""Whether a folder is, byte for byte, what its manifest says."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from neuron.artefacts.content import HASHERS, FileEntry, sha256_of
from neuron.artefacts.errors import DamagedError
from neuron.artefacts.manifest import Manifest
from neuron.artefacts.store import Progress, silent
from neuron.artefacts.verified import remember, state_of


def wrong_sizes(folder: Path, files: Iterable[FileEntry]) -> list[FileEntry]:
    """Those lacking or of another size: no byte is read."""
    return [file for file in files if not _has_size(folder / file.path, file.size)]


def wrong_files(
    folder: Path, files: Iterable[FileEntry], progress: Progress = silent
) -> list[FileEntry]:
    """Those lacking or of other content; reads every byte of the rest."""

    def is_right(file: FileEntry) -> bool:
        path = folder / file.path
        right = _has_size(path, file.size) and sha256_of(path) == file.sha256
        progress(file.size)
        return right

    listed = list(files)
    with ThreadPoolExecutor(HASHERS) as pool:
        return [
            file
            for file, right in zip(listed, pool.map(is_right, listed), strict=True)
            if not right
        ]


def verify(folder: Path, manifest: Manifest, progress: Progress = silent) -> None:
    """Raises DamagedError with the first files that are not right."""
    before = state_of(folder)
    wrong = wrong_files(folder, manifest.files, progress)
    if wrong:
        raise DamagedError(
            f"{folder} is damaged, so it must not be loaded: {named(wrong)} not what its "
            "manifest says; `pull` mends it."
        )
    remember(folder, manifest, before)


def named(files: list[FileEntry]) -> str:
    """`a, b and 3 more files are`."""
    shown = ", ".join(file.path for file in files[:3])
    more = f" and {len(files) - 3} more files" if len(files) > 3 else ""
    return f"{shown}{more} {'is' if len(files) == 1 else 'are'}"


def _has_size(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size

"""What lies in a folder of ours and is not ours: it is never deleted, and no link is followed."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path

from neuron.artefacts import manifest as manifests
from neuron.artefacts.errors import ArtefactError, DamagedError, NotPublishedError

CUT_SHORT = re.compile(r"\.(?:partial-[0-9a-f]{32}|[0-9a-fA-F]{8})$")
"""What a download that was killed adds to a name: our own copy's, and s3transfer's."""


def check_strangers(
    folder: Path, wanted: Collection[str], *, besides: Collection[str] = ()
) -> None:
    """`wanted` are paths inside `folder`, `besides` folders at its top.

    Raises ArtefactError with the first that is not ours.
    """
    for path in _not_wanted(folder, wanted):
        if path.partition("/")[0] in besides:
            continue
        raise ArtefactError(
            f"{folder} holds {path}, which is not of ours and is not removed: move it away, or "
            "give another folder."
        )


def drop_left_overs(partial: Path, wanted: Collection[str]) -> None:
    """Files of an earlier pull that was cut short, and no other.

    Raises ArtefactError where there is a stranger, before anything is removed.
    """
    ours = {*wanted, *_begun(partial)}
    check_strangers(partial, ours)
    for path in _below(partial):
        if path not in wanted:
            (partial / path).unlink()


def _not_wanted(folder: Path, wanted: Collection[str]) -> list[str]:
    ours = {*wanted, manifests.FILE, manifests.UNFINISHED}
    return [path for path in _below(folder) if path not in ours and _whole(path) not in ours]


def _whole(path: str) -> str:
    return CUT_SHORT.sub("", path)


def _below(folder: Path) -> list[str]:
    """Files and links, sorted; a link to a folder is one of them and not entered."""
    found = []
    for root, folders, names in os.walk(folder):
        links = [name for name in folders if (Path(root) / name).is_symlink()]
        found += [str((Path(root) / name).relative_to(folder)) for name in (*names, *links)]
    return sorted(found)


def _begun(partial: Path) -> set[str]:
    """Paths that an earlier pull into the same folder was to fetch."""
    paths: set[str] = set()
    for name in (manifests.FILE, manifests.UNFINISHED):
        try:
            data = (partial / name).read_bytes()
            paths |= {file.path for file in manifests.parse(data, name).files}
        except (OSError, DamagedError, ArtefactError, NotPublishedError):
            continue
    return paths

"""Which weights were read and found right, kept beside their folder in `.NAME.verified`.

Reading a large model takes minutes, and a launch asks for its content each time. A file is taken
for the one that was read while its size and its time of change, in nanoseconds, are both the same,
earlier or later alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Self

from pydantic import BaseModel, ConfigDict, RootModel, ValidationError

from neuron.artefacts.content import files_of
from neuron.artefacts.key import Digest
from neuron.artefacts.manifest import Manifest

State = Mapping[str, tuple[int, int]]
"""By path in the folder: bytes, and the time of change in nanoseconds."""


class Seen(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    size: int
    mtime_ns: int
    sha256: Digest


class _Record(RootModel[dict[str, Seen]]):
    pass


def record_of(folder: Path) -> Path:
    return folder.parent / f".{folder.name}.verified"


def state_of(folder: Path) -> State:
    """To be taken before files are read: one that changes meanwhile is then not taken for right."""
    found = {}
    for path in files_of(folder):
        status = path.stat()
        found[str(PurePosixPath(path.relative_to(folder)))] = (status.st_size, status.st_mtime_ns)
    return found


def remember(folder: Path, manifest: Manifest, before: State) -> None:
    """Every file was read and is what `manifest` says; `before` is from before it was read.

    Nothing asks it of an artefact. Where nothing can be written, weights are read again instead.
    """
    if manifest.kind != "weights":
        return
    seen = {
        file.path: Seen(
            size=before[file.path][0], mtime_ns=before[file.path][1], sha256=file.sha256
        )
        for file in manifest.files
        if file.path in before
    }
    path = record_of(folder)
    fresh = path.with_name(f"{path.name}.new")
    with suppress(OSError):
        fresh.write_text(_Record(seen).model_dump_json(), encoding="utf-8")
        fresh.replace(path)


@dataclass(frozen=True)
class Verified:
    """What is remembered of one folder; of nothing, where the record is lacking or no record."""

    files: Mapping[str, Seen]

    @classmethod
    def beside(cls, folder: Path) -> Self:
        try:
            return cls(_Record.model_validate_json(record_of(folder).read_bytes()).root)
        except (OSError, ValidationError):
            return cls({})

    def sha256_of(self, path: Path) -> str | None:
        """Of a file at the folder's top that was verified and is untouched since; else None."""
        seen = self.files.get(path.name)
        if seen is None:
            return None
        status = path.stat()
        same = (seen.size, seen.mtime_ns) == (status.st_size, status.st_mtime_ns)
        return seen.sha256 if same else None

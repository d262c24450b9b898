"""The manifest beside `neuron_config.json`: what a folder is, and every byte that belongs to it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from neuron.artefacts.content import FileEntry, content_digest, entries, files_of, model_digest
from neuron.artefacts.errors import (
    ArtefactError,
    DamagedError,
    NotPublishedError,
    UnknownFormatError,
)
from neuron.artefacts.key import ArtefactKey, Digest, canonical

FILE = "specserve-manifest.json"
UNFINISHED = f".{FILE}.new"
FORMAT: Final = 1
Kind = Literal["artefacts", "weights"]
Seconds = Annotated[float, Field(gt=0)]


class Times(BaseModel):
    """Seconds from the start of the engine to its first healthy answer, on the machine named."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    compile_s: Seconds | None = None
    """The first start, which compiles and loads. None: not seen."""
    load_s: Seconds | None = None
    """The next start, from the artefact: what a start-up probe must allow for."""
    machine: str = ""


class _Format(BaseModel):
    """Read before all the rest, whose meaning hangs on it."""

    model_config = ConfigDict(strict=True, extra="ignore")

    format: int


class Manifest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = FORMAT
    kind: Kind
    name: Annotated[str, Field(min_length=1)]
    """The pair's or the model's: for people; `id` decides."""
    key: ArtefactKey | None = None
    files: tuple[FileEntry, ...]
    times: Times = Times()
    origin: str = ""
    """Where weights came from, such as `hub:OWNER/NAME@COMMIT`; empty: a folder."""
    created: str
    """UTC, ISO 8601."""
    seal: Digest
    """SHA-256 over all the rest: a manifest that was altered or cut short says so itself."""

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        paths = [file.path for file in self.files]
        if not paths or len(set(paths)) != len(paths) or FILE in paths:
            raise ValueError("its list of files is empty, repeats a path or names the manifest")
        if (self.kind == "artefacts") != (self.key is not None):
            raise ValueError("an artefact has a key and weights have none")
        if self.seal != _seal(self.model_dump(mode="json", exclude={"seal"})):
            raise ValueError("its seal is not that of its content")
        return self

    @property
    def id(self) -> str:
        """Of an artefact what it was compiled for, of weights what they hold. SHA-256 in hex."""
        return self.key.digest if self.key else content_digest(self.files)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def model(self) -> str | None:
        """Of weights: the digest that an artefact's key holds. None for an artefact."""
        return model_digest(self.files) if self.kind == "weights" else None

    def to_bytes(self) -> bytes:
        return self.model_dump_json(indent=2).encode() + b"\n"


def make(
    kind: Kind,
    name: str,
    files: Sequence[FileEntry],
    *,
    key: ArtefactKey | None = None,
    times: Times | None = None,
    origin: str = "",
    now: datetime | None = None,
) -> Manifest:
    rest = {
        "format": FORMAT,
        "kind": kind,
        "name": name,
        "key": key.model_dump(mode="json") if key else None,
        "files": [file.model_dump() for file in files],
        "times": (times or Times()).model_dump(),
        "origin": origin,
        "created": (now or datetime.now(UTC)).isoformat(timespec="seconds"),
    }
    return Manifest.model_validate({**rest, "seal": _seal(rest)})


def describe(
    folder: Path,
    kind: Kind,
    name: str,
    *,
    key: ArtefactKey | None = None,
    times: Times | None = None,
    origin: str = "",
) -> Manifest:
    """Hashes every file of `folder`. Raises ArtefactError for none, or one that is unreadable."""
    paths = files_of(folder, besides=(FILE, UNFINISHED))
    if not paths:
        raise ArtefactError(f"{folder} holds no files, so there is nothing to publish.")
    return make(kind, name, entries(folder, paths), key=key, times=times, origin=origin)


def retimed(manifest: Manifest, times: Times) -> Manifest:
    return make(
        *(manifest.kind, manifest.name, manifest.files),
        key=manifest.key,
        times=times,
        origin=manifest.origin,
    )


def parse(data: bytes, where: str) -> Manifest:
    """Raises DamagedError for bytes that are no manifest or whose seal is broken, and
    UnknownFormatError for a whole one of another version of this program.
    """
    try:
        stated = _Format.model_validate_json(data).format
    except ValidationError:
        stated = FORMAT
    if stated != FORMAT:
        raise UnknownFormatError(
            f"The manifest {where} is of format {stated} and this program knows {FORMAT}: use "
            "the version of specserve that wrote it."
        )
    try:
        return Manifest.model_validate_json(data)
    except ValidationError as error:
        why = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise DamagedError(
            f"The manifest {where} is damaged ({why}), so nothing beside it is used: publish "
            "again with --repair, or remove it and pull or compile again."
        ) from error


def read(folder: Path) -> Manifest:
    """Raises NotPublishedError where there is none, DamagedError where it is not whole."""
    path = folder / FILE
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotPublishedError(f"There is no manifest {FILE} in {folder}.") from error
    except OSError as error:
        raise ArtefactError(f"{path} cannot be read: {error.strerror}.") from error
    return parse(data, str(path))


def begin(folder: Path, manifest: Manifest) -> None:
    """Says what is to come; nothing reads it as the folder's manifest."""
    (folder / UNFINISHED).write_bytes(manifest.to_bytes())


def write(folder: Path, manifest: Manifest) -> None:
    """In one step: nobody reads half of it."""
    begin(folder, manifest)
    (folder / UNFINISHED).replace(folder / FILE)


def _seal(rest: object) -> str:
    return hashlib.sha256(canonical(rest)).hexdigest()

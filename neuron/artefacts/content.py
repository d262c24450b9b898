"""Folders as lists of files with their SHA-256; hashed in parallel, models' hashes kept."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from neuron.artefacts.errors import ArtefactError
from neuron.artefacts.key import Digest, canonical

HASHERS = 4
"""Threads; hashlib lets the interpreter go while it works."""
MODEL_FILES = (
    "config.json",
    "*.safetensors",
    "*.safetensors.index.json",
    "*.bin",
    "*.bin.index.json",
)
"""What a graph and its weights come from; a tokenizer or a README changes neither."""
IGNORED_FOLDERS = (".cache", ".git")
"""Of the hub's own client and of git, beside a model's files."""


class FileEntry(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    path: str
    """Relative, with slashes, inside the folder."""
    size: Annotated[int, Field(ge=0)]
    """Bytes."""
    sha256: Digest

    @field_validator("path")
    @classmethod
    def _inside(cls, value: str) -> str:
        # What comes from a store decides where bytes are written.
        parts = value.split("/")
        if not all(parts) or {".", ".."} & set(parts) or "\\" in value or "\0" in value:
            raise ValueError(f"{value!r} is not a path inside a folder")
        return value


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_of(folder: Path, *, besides: Sequence[str] = ()) -> list[Path]:
    """Regular files below `folder`, sorted, links followed; `besides` are names at its top."""
    found = []
    for root, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if name not in IGNORED_FOLDERS)
        found += [Path(root) / name for name in names]
    top = {folder / name for name in besides}
    return sorted(path for path in found if path.is_file() and path not in top)


def entries(folder: Path, paths: Sequence[Path]) -> list[FileEntry]:
    """Raises ArtefactError for a file that cannot be read."""

    def entry(path: Path) -> FileEntry:
        name = str(PurePosixPath(path.relative_to(folder)))
        return FileEntry(path=name, size=path.stat().st_size, sha256=sha256_of(path))

    try:
        with ThreadPoolExecutor(HASHERS) as pool:
            return list(pool.map(entry, paths))
    except OSError as error:
        raise ArtefactError(f"{error.filename} cannot be read: {error.strerror}.") from error


def content_digest(files: Iterable[FileEntry]) -> str:
    """SHA-256 over names, sizes and hashes, whatever their order."""
    listed = sorted((file.path, file.size, file.sha256) for file in files)
    return hashlib.sha256(canonical(listed)).hexdigest()


def model_digest(files: Iterable[FileEntry]) -> str:
    """Of the files that a model is compiled and loaded from. Raises ArtefactError for none."""
    chosen = [file for file in files if _is_model_file(file.path)]
    if not chosen:
        raise ArtefactError("There is neither config.json nor a weight file, so this is no model.")
    return content_digest(chosen)


def model_files(folder: Path) -> list[Path]:
    return [path for path in files_of(folder) if _is_model_file(str(path.relative_to(folder)))]


def hash_kept(path: Path, cache: Path) -> str:
    """`sha256_of`, remembered in `cache` for as long as the file is the same one, untouched.

    Tens of GB take minutes to read, and a launch asks each time.
    """
    status = path.stat()
    facts = [str(path.resolve()), status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev]
    kept = cache / hashlib.sha256(canonical(facts)).hexdigest()
    with suppress(OSError):
        known = kept.read_text(encoding="ascii").strip()
        if len(known) == 64:
            return known
    digest = sha256_of(path)
    with suppress(OSError):
        cache.mkdir(parents=True, exist_ok=True)
        fresh = cache / f"{kept.name}.{os.getpid()}"
        fresh.write_text(digest, encoding="ascii")
        fresh.replace(kept)
    return digest


def default_cache() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "specserve" / "sha256"


def _is_model_file(path: str) -> bool:
    return "/" not in path and any(fnmatch(path, pattern) for pattern in MODEL_FILES)

"""A directory as a store: a shared file system, or a disk beside the engine."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

from neuron.artefacts.disk import disk
from neuron.artefacts.errors import DamagedError, NotPublishedError, StoreError
from neuron.artefacts.manifest import Kind
from neuron.artefacts.store import Progress, Stored, Transfer, id_in

PARALLEL = 4
CHUNK = 4 * 1024 * 1024
PARTIAL = ".partial-"
"""In the name of what is still being written; the rest of the name is nobody else's."""


class LocalStore:
    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def address(self) -> str:
        return str(self._root)

    def check(self) -> None:
        if not self._root.is_dir():
            what = "is a file" if self._root.exists() else "is not there"
            raise StoreError(
                f"The store {self._root} {what}: give a directory that was published to, or "
                "s3://bucket/prefix."
            )

    def walk(self, prefix: str) -> Iterator[Stored]:
        yield from (stored for stored in self._all(prefix) if not _is_partial(stored.key))

    def read(self, key: str) -> bytes:
        with disk(self._root):
            try:
                return (self._root / key).read_bytes()
            except FileNotFoundError as error:
                raise NotPublishedError(f"There is no {key} in {self._root}.") from error

    def create(self, key: str, data: bytes) -> bool:
        path = self._root / key
        with disk(self._root):
            fresh = self._written(path, data)
            try:
                # Unlike a rename, a link fails where another publisher was first.
                os.link(fresh, path)
            except FileExistsError:
                return False
            finally:
                fresh.unlink()
        return True

    def replace(self, key: str, data: bytes) -> None:
        path = self._root / key
        with disk(self._root):
            self._written(path, data).replace(path)

    def upload(self, transfers: Sequence[Transfer], progress: Progress) -> None:
        def one(transfer: Transfer) -> None:
            copy_whole(transfer.path, self._root / transfer.key, progress)

        self._in_parallel(one, transfers)

    def download(self, transfers: Sequence[Transfer], progress: Progress) -> None:
        gone = [one.key for one in transfers if not (self._root / one.key).is_file()]
        there = [one for one in transfers if one.key not in gone]
        self._in_parallel(lambda one: copy_whole(self._root / one.key, one.path, progress), there)
        if gone:
            raise DamagedError(
                f"{self._root} lacks {len(gone)} files that a manifest there names, such as "
                f"{gone[0]}: publish again with --repair."
            )

    def delete(self, keys: Iterable[str]) -> None:
        with disk(self._root):
            for key in keys:
                path = self._root / key
                path.unlink(missing_ok=True)
                self._drop_empty(path.parent)

    def unfinished(self, kind: Kind, older_than: timedelta) -> Sequence[str]:
        limit = datetime.now(UTC) - older_than
        found = (stored for stored in self._all(f"{kind}/") if _is_partial(stored.key))
        return [stored.key for stored in found if stored.modified < limit]

    def abandon(self, kind: Kind, older_than: timedelta) -> None:
        self.delete(self.unfinished(kind, older_than))

    def _all(self, prefix: str) -> Iterator[Stored]:
        top = self._root / prefix
        with disk(self._root):
            for path in sorted(top.rglob("*")):
                # A publisher may rename what was listed a moment ago.
                try:
                    status = path.stat()
                except FileNotFoundError:
                    continue
                if path.is_file():
                    modified = datetime.fromtimestamp(status.st_mtime, UTC)
                    yield Stored(str(path.relative_to(self._root)), status.st_size, modified)

    def _drop_empty(self, folder: Path) -> None:
        # Not empty any more is what a publisher makes of it, and right.
        with suppress(OSError):
            while folder != self._root:
                folder.rmdir()
                folder = folder.parent

    def _written(self, path: Path, data: bytes) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = _fresh(path)
        with fresh.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        return fresh

    def _in_parallel(self, one: Callable[[Transfer], None], transfers: Sequence[Transfer]) -> None:
        with disk(self._root), ThreadPoolExecutor(PARALLEL) as pool:
            for _ in pool.map(one, transfers):
                pass


def copy_whole(source: Path, target: Path, progress: Progress) -> None:
    """`target` appears with its last byte on disk, or not at all. Raises StoreError."""
    fresh = _fresh(target)
    with disk(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with source.open("rb") as reader, fresh.open("wb") as writer:
                while chunk := reader.read(CHUNK):
                    writer.write(chunk)
                    progress(len(chunk))
                writer.flush()
                os.fsync(writer.fileno())
            fresh.replace(target)
        finally:
            fresh.unlink(missing_ok=True)


def _is_partial(key: str) -> bool:
    whole, mark, rest = key.rpartition(PARTIAL)
    return bool(mark) and re.fullmatch("[0-9a-f]{32}", rest) is not None and bool(id_in(whole))


def _fresh(path: Path) -> Path:
    return path.with_name(f"{path.name}{PARTIAL}{uuid4().hex}")

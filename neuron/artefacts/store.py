"""Where artefacts are kept: a directory or S3, behind the few operations that publishing needs.

Layout, the same in both, below the store's address:

    KIND/ID/files/SHA256       bytes, named by their content; KIND is artefacts or weights
    KIND/ID/manifest.json      written last and only if absent: until then nothing is published
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from neuron.artefacts.errors import AddressError
from neuron.artefacts.manifest import Kind

OURS = re.compile(r"(?:artefacts|weights)/([0-9a-f]{64})/(?:manifest\.json|files/[0-9a-f]{64})")
Progress = Callable[[int], None]
"""Bytes moved since the last call; negative where a part is sent again. Called by any thread."""


def silent(_: int) -> None:
    pass


@dataclass(frozen=True)
class Stored:
    key: str
    """Relative to the store's address."""
    size: int
    """Bytes."""
    modified: datetime
    """With a time zone."""


@dataclass(frozen=True)
class Transfer:
    path: Path
    key: str
    size: int
    """Bytes."""


class Store(Protocol):
    """Every method raises StoreError where the store cannot be reached or refuses."""

    @property
    def address(self) -> str: ...

    def check(self) -> None:
        """Raises StoreError where there is nothing that could be read from."""
        ...

    def walk(self, prefix: str) -> Iterator[Stored]: ...

    def read(self, key: str) -> bytes:
        """Of a small object. Raises NotPublishedError."""
        ...

    def create(self, key: str, data: bytes) -> bool:
        """In one step, and False without a change if it is there already."""
        ...

    def replace(self, key: str, data: bytes) -> None: ...

    def upload(self, transfers: Sequence[Transfer], progress: Progress) -> None:
        """All, in parallel; each is either there whole or not there."""
        ...

    def download(self, transfers: Sequence[Transfer], progress: Progress) -> None:
        """All, in parallel; each path is whole or not there. Raises DamagedError, after the rest,
        if one is gone.
        """
        ...

    def delete(self, keys: Iterable[str]) -> None:
        """What is not there is as good as deleted."""
        ...

    def unfinished(self, kind: Kind, older_than: timedelta) -> Sequence[str]:
        """Keys of uploads of ours, begun that long ago and never ended."""
        ...

    def abandon(self, kind: Kind, older_than: timedelta) -> None:
        """Frees what `unfinished` names."""
        ...


def id_in(key: str) -> str | None:
    """None for a key that no publisher of ours writes: what lies beside a store is not its own."""
    match = OURS.fullmatch(key)
    return match[1] if match else None


def manifest_key(kind: Kind, id_: str) -> str:
    return f"{kind}/{id_}/manifest.json"


def file_key(kind: Kind, id_: str, sha256: str) -> str:
    return f"{kind}/{id_}/files/{sha256}"


def open_store(address: str) -> Store:
    """`s3://bucket/prefix` or a directory. Raises AddressError or StoreError."""
    if address.startswith("s3://"):
        from neuron.artefacts.s3 import S3Store

        return S3Store(address)
    if "://" in address:
        raise AddressError(f"{address} is no store: give s3://bucket/prefix or a directory.")
    from neuron.artefacts.local import LocalStore

    return LocalStore(Path(address).expanduser())

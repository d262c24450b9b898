"""What happens in the folder or in the store while a publish is under way."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from neuron.artefacts.catalogue import holdings
from neuron.artefacts.errors import ArtefactError, DamagedError
from neuron.artefacts.local import LocalStore
from neuron.artefacts.publish import REUSE_WITHIN, publish
from neuron.artefacts.store import Progress, Transfer, manifest_key
from tests.neuron.artefacts.examples import artefact


class MeddledStore(LocalStore):
    """A directory in which something happens once every file is there, before the manifest is."""

    def __init__(self, root: Path, meddle: Callable[[Sequence[Transfer]], None]) -> None:
        super().__init__(root)
        self._meddle = meddle

    def upload(self, transfers: Sequence[Transfer], progress: Progress) -> None:
        super().upload(transfers, progress)
        self._meddle(transfers)


def test_a_folder_that_changes_while_it_is_uploaded_is_not_published(tmp_path: Path) -> None:
    folder, manifest = artefact(tmp_path / "made")

    def write_on(_: Sequence[Transfer]) -> None:
        (folder / "model.pt").write_bytes(b"longer" * 50_000)

    store = MeddledStore(tmp_path / "store", write_on)
    with pytest.raises(ArtefactError, match=r"model\.pt is not what the manifest beside it says"):
        publish(store, folder, manifest)
    assert [one.published for one in holdings(store, "artefacts")] == [False]


def test_files_that_somebody_deletes_meanwhile_are_missed_before_the_manifest(
    tmp_path: Path,
) -> None:
    folder, manifest = artefact(tmp_path / "made")
    root = tmp_path / "store"

    def delete_one(transfers: Sequence[Transfer]) -> None:
        (root / transfers[0].key).unlink()

    store = MeddledStore(root, delete_one)
    with pytest.raises(DamagedError, match="1 files of a-pair are gone from"):
        publish(store, folder, manifest)
    assert [one.published for one in holdings(store, "artefacts")] == [False]


@pytest.mark.parametrize(("hours", "again"), [(-1, False), (1, True)])
def test_what_prune_may_soon_take_is_uploaded_again(
    tmp_path: Path, hours: int, again: bool
) -> None:
    """Of a publish that was cut short longer ago than files are used again."""
    folder, manifest = artefact(tmp_path / "made")
    store = LocalStore(tmp_path / "store")
    publish(store, folder, manifest)
    store.delete([manifest_key("artefacts", manifest.id)])
    then = time.time() - REUSE_WITHIN.total_seconds() - hours * 3600
    for path in (tmp_path / "store").rglob("*"):
        os.utime(path, (then, then))
    assert publish(store, folder, manifest).moved == (manifest.size if again else 0)

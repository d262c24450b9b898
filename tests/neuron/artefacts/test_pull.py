"""A folder is there and right, or it is not there."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from neuron.artefacts import manifest as manifests
from neuron.artefacts.errors import ArtefactError, StoreError
from neuron.artefacts.local import LocalStore
from neuron.artefacts.publish import publish
from neuron.artefacts.pull import pull
from tests.neuron.artefacts.examples import artefact, contents, write_folder


@pytest.fixture
def published(tmp_path: Path) -> tuple[LocalStore, manifests.Manifest]:
    store = LocalStore(tmp_path / "store")
    folder, manifest = artefact(tmp_path / "made")
    publish(store, folder, manifest)
    return store, manifest


Published = tuple[LocalStore, manifests.Manifest]


def test_only_what_is_damaged_is_moved_again(published: Published, tmp_path: Path) -> None:
    store, manifest = published
    target = tmp_path / "pulled"
    pull(store, manifest, target)
    (target / "model.pt").write_bytes(b"x" * 50_000)
    assert pull(store, manifest, target).moved == 50_000
    assert contents(target) == contents(tmp_path / "made")


def test_what_is_not_ours_is_not_overwritten(published: Published, tmp_path: Path) -> None:
    store, manifest = published
    mine = write_folder(tmp_path / "mine", seed=7)
    before = contents(mine)
    with pytest.raises(ArtefactError, match="without our manifest"):
        pull(store, manifest, mine)
    other, _ = artefact(tmp_path / "other", tp_degree=8)
    with pytest.raises(ArtefactError, match="give another folder"):
        pull(store, manifest, other)
    assert contents(mine) == before
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(ArtefactError, match="is a file"):
        pull(store, manifest, file)


def test_an_empty_folder_is_filled(published: Published, tmp_path: Path) -> None:
    store, manifest = published
    (tmp_path / "mount").mkdir()
    assert pull(store, manifest, tmp_path / "mount").moved == manifest.size


def test_the_same_compiled_here_is_as_good(published: Published, tmp_path: Path) -> None:
    store, manifest = published
    folder, own = artefact(tmp_path / "own", seed=9)
    done = pull(store, manifest, folder)
    assert (done.moved, done.manifest) == (0, own)


def test_two_pulls_on_one_machine_wait_for_each_other(published: Published, tmp_path: Path) -> None:
    store, manifest = published
    moved = []
    threads = [
        threading.Thread(
            target=lambda: moved.append(pull(store, manifest, tmp_path / "pulled").moved)
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(moved) == [0, 0, 0, manifest.size]


def test_too_little_room_is_said_before_anything_moves(
    published: Published, tmp_path: Path
) -> None:
    store, manifest = published
    moved: list[int] = []
    with pytest.raises(StoreError, match=r"too full: 0\.0 GB are to come and 0\.0 GB are free"):
        pull(
            *(store, manifest, tmp_path / "pulled"),
            progress=moved.append,
            free=lambda _: manifest.size - 1,
        )
    assert moved == []


def test_a_disk_that_fills_up_is_one_sentence_and_goes_on(
    published: Published, tmp_path: Path
) -> None:
    """On a real file system of 600 kB, mounted in a namespace of its own."""
    _, manifest = published
    script = f"""
import sys
from pathlib import Path
from neuron.artefacts.catalogue import load
from neuron.artefacts.errors import StoreError
from neuron.artefacts.local import LocalStore
from neuron.artefacts.pull import pull
store = LocalStore(Path({str(tmp_path / "store")!r}))
try:
    pull(store, load(store, "artefacts", {manifest.id!r}), Path("/tmp/t"), free=lambda _: 10**12)
except StoreError as error:
    sys.exit(str(error))
"""
    mount = f'mount -t tmpfs -o size=600k none {tmp_path}/small && exec "$@"'
    (tmp_path / "small").mkdir()
    script = script.replace("/tmp/t", f"{tmp_path}/small/pulled")
    probe = subprocess.run(
        ["/usr/bin/unshare", "-rm", "sh", "-c", mount, "sh", "true"],
        capture_output=True,
        check=False,
    )
    if probe.returncode:
        pytest.skip("this machine mounts nothing in a namespace")
    done = subprocess.run(
        ["/usr/bin/unshare", "-rm", "sh", "-c", mount, "sh", sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=Path(__file__).parents[3],
    )
    assert "is full: free some space" in done.stderr
    assert done.stderr.count("\n") == 1


def test_what_the_manifest_does_not_name_is_refused_and_never_deleted(
    published: Published, tmp_path: Path
) -> None:
    store, manifest = published
    target = tmp_path / "pulled"
    pull(store, manifest, target)
    (target / "model.pt").write_bytes(b"x" * 50_000)
    (target / "notes.txt").write_text("mine")
    with pytest.raises(ArtefactError, match=r"holds notes\.txt, which is not of ours"):
        pull(store, manifest, target)
    assert (target / "notes.txt").read_text() == "mine"
    (target / "notes.txt").unlink()
    assert pull(store, manifest, target).moved == 50_000


@pytest.mark.parametrize("name", ["linked", "weights"])
def test_a_link_to_a_folder_is_not_followed(
    published: Published, tmp_path: Path, name: str
) -> None:
    store, manifest = published
    target, elsewhere = tmp_path / "pulled", tmp_path / "elsewhere"
    pull(store, manifest, target)
    if name == "weights":
        (target / name).rename(elsewhere)
    else:
        elsewhere.mkdir()
    (elsewhere / "precious").write_text("mine")
    (target / name).symlink_to(elsewhere)
    before = contents(elsewhere)
    (target / "model.pt").write_bytes(b"x" * 50_000)
    with pytest.raises(ArtefactError, match=f"holds {name}, which is not of ours"):
        pull(store, manifest, target)
    assert contents(elsewhere) == before


def test_strangers_in_the_partial_folder_stay_and_left_overs_of_ours_go(
    published: Published, tmp_path: Path
) -> None:
    store, manifest = published
    partial = tmp_path / ".pulled.partial"
    partial.mkdir()
    _, other = artefact(tmp_path / "other", tp_degree=8)
    manifests.begin(partial, other)
    (partial / f"model.pt.partial-{'a' * 32}").write_bytes(b"half")
    (partial / "mine.partial-1").write_text("mine")
    with pytest.raises(ArtefactError, match=r"holds mine\.partial-1"):
        pull(store, manifest, tmp_path / "pulled")
    (partial / "mine.partial-1").unlink()
    pull(store, manifest, tmp_path / "pulled")
    assert contents(tmp_path / "pulled") == contents(tmp_path / "made")

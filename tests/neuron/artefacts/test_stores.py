"""What publish and pull promise, held on a directory and on S3 alike."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from neuron.artefacts import manifest as manifests
from neuron.artefacts.catalogue import holdings, load, resolve
from neuron.artefacts.errors import AddressError, ArtefactError, DamagedError, NotPublishedError
from neuron.artefacts.local import LocalStore
from neuron.artefacts.publish import publish
from neuron.artefacts.pull import pull
from neuron.artefacts.s3 import S3Store
from neuron.artefacts.store import Store, file_key, manifest_key, open_store
from tests.neuron.artefacts.conftest import Client
from tests.neuron.artefacts.examples import artefact, contents

Open = Callable[[], Store]


@pytest.fixture(params=["directory", "s3"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """A new client on the same store each time, as another process would have."""
    if request.param == "directory":
        return lambda: LocalStore(tmp_path / "store")
    bucket = request.getfixturevalue("bucket")
    # Parts of the smallest size that S3 takes, so that small files are multipart too.
    return lambda: S3Store(f"s3://{bucket}/some/prefix", part_bytes=5 * 1024 * 1024)


def test_what_is_published_is_pulled_byte_for_byte(opened: Open, tmp_path: Path) -> None:
    folder, manifest = artefact(tmp_path / "made")
    moved: list[int] = []
    done = publish(opened(), folder, manifest, progress=moved.append)
    assert done.created
    assert done.moved == sum(moved) == manifest.size
    back = pull(opened(), load(opened(), "artefacts", manifest.id), tmp_path / "there" / "pulled")
    assert contents(back.folder) == contents(folder)
    assert [path.name for path in back.folder.parent.iterdir() if path.is_dir()] == ["pulled"]


def test_publishing_and_pulling_again_move_nothing(opened: Open, tmp_path: Path) -> None:
    folder, manifest = artefact(tmp_path / "made")
    publish(opened(), folder, manifest)
    again = publish(opened(), folder, manifest)
    assert (again.created, again.moved) == (False, 0)
    assert pull(opened(), manifest, tmp_path / "pulled").moved == manifest.size
    assert pull(opened(), manifest, tmp_path / "pulled").moved == 0


def test_of_two_publishers_one_wins_and_both_can_be_pulled(opened: Open, tmp_path: Path) -> None:
    """A compiler is not deterministic: the same key, other bytes."""
    made = [artefact(tmp_path / f"made{seed}", seed=seed) for seed in (1, 2)]
    meet = threading.Barrier(2)
    results = []

    def one(folder: Path, manifest: manifests.Manifest) -> None:
        meet.wait()
        results.append(publish(opened(), folder, manifest))

    threads = [threading.Thread(target=one, args=pair) for pair in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done.created for done in results) == [False, True]
    assert results[0].manifest == results[1].manifest
    back = pull(opened(), load(opened(), "artefacts", made[0][1].id), tmp_path / "pulled")
    winner = next(folder for folder, manifest in made if manifest == results[0].manifest)
    assert contents(back.folder) == contents(winner)


def test_half_published_is_listed_as_such_and_not_pulled(opened: Open, tmp_path: Path) -> None:
    folder, manifest = artefact(tmp_path / "made")
    publish(opened(), folder, manifest)
    opened().delete([manifest_key("artefacts", manifest.id)])
    (held,) = holdings(opened(), "artefacts")
    assert (held.published, held.fault) == (False, "half-published: it has no manifest yet")
    with pytest.raises(NotPublishedError):
        load(opened(), "artefacts", manifest.id)
    again = publish(opened(), folder, manifest)
    assert (again.created, again.moved) == (True, 0)


def test_a_lost_file_is_named_and_mended_by_repair(opened: Open, tmp_path: Path) -> None:
    folder, manifest = artefact(tmp_path / "made")
    publish(opened(), folder, manifest)
    lost = manifest.files[0]
    opened().delete([file_key("artefacts", manifest.id, lost.sha256)])
    (held,) = holdings(opened(), "artefacts")
    assert held.fault.startswith("damaged: 1 of its files")
    with pytest.raises(DamagedError, match="--repair"):
        pull(opened(), manifest, tmp_path / "pulled")
    assert not (tmp_path / "pulled").exists()
    with pytest.raises(DamagedError, match="--repair"):
        publish(opened(), folder, manifest)
    assert publish(opened(), folder, manifest, repair=True).moved == manifest.size
    assert pull(opened(), manifest, tmp_path / "pulled").moved < manifest.size, "goes on"


def test_a_corrupt_byte_is_noticed_named_and_not_put_in_place(opened: Open, tmp_path: Path) -> None:
    folder, manifest = artefact(tmp_path / "made")
    publish(opened(), folder, manifest)
    store = opened()
    victim = next(file for file in manifest.files if file.path == "model.pt")
    place = file_key("artefacts", manifest.id, victim.sha256)
    data = bytearray(store.read(place))
    data[len(data) // 2] ^= 1
    store.replace(place, bytes(data))
    with pytest.raises(DamagedError, match=r"model\.pt is not what the manifest says.*--repair"):
        pull(opened(), manifest, tmp_path / "pulled")
    assert not (tmp_path / "pulled").exists()
    publish(opened(), folder, manifest, repair=True)
    assert pull(opened(), manifest, tmp_path / "pulled").moved == victim.size


def test_a_damaged_manifest_is_listed_and_never_used(opened: Open, tmp_path: Path) -> None:
    folder, manifest = artefact(tmp_path / "made")
    publish(opened(), folder, manifest)
    data = opened().read(manifest_key("artefacts", manifest.id))
    opened().replace(manifest_key("artefacts", manifest.id), data.replace(b"trn2", b"trn1"))
    (held,) = holdings(opened(), "artefacts")
    assert "seal" in held.fault
    with pytest.raises(DamagedError, match="seal"):
        resolve(opened(), "artefacts", manifest.id)


def test_a_manifest_in_the_place_of_another_is_refused(opened: Open, tmp_path: Path) -> None:
    folder, manifest = artefact(tmp_path / "made")
    publish(opened(), folder, manifest)
    data = opened().read(manifest_key("artefacts", manifest.id))
    opened().create(manifest_key("artefacts", "0" * 64), data)
    with pytest.raises(DamagedError, match="not of what its place says"):
        load(opened(), "artefacts", "0" * 64)


def test_a_name_that_two_have_is_not_guessed(opened: Open, tmp_path: Path) -> None:
    _, first = artefact(tmp_path / "1", name="same")
    _, second = artefact(tmp_path / "2", name="same", tp_degree=8)
    for folder, manifest in ((tmp_path / "1", first), (tmp_path / "2", second)):
        publish(opened(), folder, manifest)
    with pytest.raises(ArtefactError, match="names 2 artefacts"):
        resolve(opened(), "artefacts", "same")
    assert resolve(opened(), "artefacts", second.id[:10]) == second
    with pytest.raises(NotPublishedError, match="list"):
        resolve(opened(), "artefacts", "other")


def test_a_file_that_changed_since_is_not_published(opened: Open, tmp_path: Path) -> None:
    folder, manifest = artefact(tmp_path / "made")
    with (folder / "model.pt").open("ab") as file:
        file.write(b"more")
    with pytest.raises(ArtefactError, match=r"model\.pt is not what the manifest"):
        publish(opened(), folder, manifest)
    assert list(opened().walk("")) == []


def test_an_empty_file_and_one_of_several_parts_come_back(opened: Open, tmp_path: Path) -> None:
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / "empty").touch()
    (folder / "large").write_bytes(os.urandom(11 * 1024 * 1024))
    manifest = manifests.describe(folder, "weights", "w")
    publish(opened(), folder, manifest)
    assert contents(pull(opened(), manifest, tmp_path / "back").folder)["large"] == (
        (folder / "large").read_bytes()
    )


def test_what_is_young_is_not_unfinished(opened: Open, tmp_path: Path) -> None:
    folder, manifest = artefact(tmp_path / "made")
    publish(opened(), folder, manifest)
    assert list(opened().unfinished("artefacts", timedelta(hours=24))) == []
    assert all(
        stored.modified <= datetime.now(UTC) + timedelta(seconds=5) for stored in opened().walk("")
    )


NOT_YET = timedelta(seconds=-5)
"""As an age, it takes in what has been begun this second."""


def test_uploads_of_others_are_not_unfinished_ones_of_ours_on_s3(
    bucket: str, client: Client
) -> None:
    ours = f"artefacts/{'a' * 64}/files/{'b' * 64}"
    others = ["app/x", "p/app/x", f"p/weights/{'a' * 64}/files/{'b' * 64}", "p/artefacts/x"]
    for key in (*others, f"p/{ours}"):
        client.create_multipart_upload(Bucket=bucket, Key=key)
    store = S3Store(f"s3://{bucket}/p")
    assert store.unfinished("artefacts", NOT_YET) == [ours]
    store.abandon("artefacts", NOT_YET)
    left = client.list_multipart_uploads(Bucket=bucket)["Uploads"]
    assert {upload["Key"] for upload in left} == set(others)


def test_files_of_others_are_not_unfinished_ones_of_ours_in_a_directory(tmp_path: Path) -> None:
    whole = f"artefacts/{'a' * 64}/files/{'b' * 64}"
    ours = f"{whole}.partial-{'c' * 32}"
    others = [
        *(f"x.partial-{'c' * 32}", f"{whole}.partial-1", f"artefacts/x.partial-{'c' * 32}"),
        f"weights/{'a' * 64}/manifest.json.partial-{'c' * 32}",
    ]
    for key in (*others, ours):
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).touch()
    store = LocalStore(tmp_path)
    assert store.unfinished("artefacts", NOT_YET) == [ours]
    store.abandon("artefacts", NOT_YET)
    assert set(contents(tmp_path)) == set(others)


@pytest.mark.parametrize("address", ["s3://", "gs://bucket/x", "s3:///prefix"])
def test_what_is_no_address_is_one_sentence(address: str) -> None:
    with pytest.raises(AddressError, match="s3://bucket/prefix"):
        open_store(address)

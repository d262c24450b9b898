from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from neuron.artefacts import manifest as manifests
from neuron.artefacts.catalogue import Held, holdings
from neuron.artefacts.content import FileEntry
from neuron.artefacts.local import LocalStore
from neuron.artefacts.prune import SHORTEST, judge, left_over, remove, remove_left_over
from neuron.artefacts.publish import REUSE_WITHIN, publish
from neuron.artefacts.store import Stored, manifest_key
from neuron.cli import main
from tests.neuron.artefacts.examples import artefact, cli, contents, key

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def held(name: str, days: float, tp: int, *, published: bool = True) -> Held:
    made_key = key(tp_degree=tp)
    entry = FileEntry(path="model.pt", size=1, sha256="a" * 64)
    manifest = manifests.make("artefacts", name, [entry], key=made_key)
    stored = Stored(manifest_key("artefacts", made_key.digest), 1, NOW - timedelta(days=days))
    return Held("artefacts", made_key.digest, manifest if published else None, objects=[stored])


def removed(holdings: Sequence[Held], **options: object) -> set[str]:
    arguments = {"now": NOW, "older_than": timedelta(days=30), **options}
    verdicts = judge(holdings, **arguments)  # type: ignore[arg-type]
    return {verdict.held.id for verdict in verdicts if verdict.remove}


def test_an_old_one_goes_when_there_is_a_newer_of_its_name() -> None:
    old, new, other = held("p", 90, 1), held("p", 40, 2), held("q", 400, 3)
    assert removed([old, new, other]) == {old.id}


def test_what_is_named_stays() -> None:
    old, new = held("p", 90, 1), held("p", 40, 2)
    assert removed([old, new], keep=["p"]) == set()
    assert removed([old, new], keep=[old.id[:8]]) == set()
    assert removed([old, new], retired=["p"]) == {old.id, new.id}
    assert removed([old, new], retired=["p"], keep=[new.id]) == {old.id}


def test_a_damaged_newest_one_stays_and_so_does_the_newest_whole_one() -> None:
    oldest, whole = held("p", 120, 1), held("p", 90, 2)
    damaged = replace(held("p", 40, 3), fault="damaged")
    assert removed([oldest, whole, damaged]) == {oldest.id}


days = st.floats(0, 400)


@given(st.lists(days, min_size=1, max_size=8), days, st.booleans())
def test_nothing_young_and_nothing_newest_is_ever_removed(
    ages: list[float], older_than: float, published: bool
) -> None:
    all_held = [held("p", age, index + 1, published=published) for index, age in enumerate(ages)]
    gone = removed(all_held, older_than=timedelta(days=older_than))
    for one in all_held:
        age = NOW - one.touched
        assert one.id not in gone or (age > SHORTEST and age > timedelta(days=older_than))
    if published:
        assert max(all_held, key=lambda one: one.touched).id not in gone


def test_a_file_that_a_publisher_may_still_use_is_never_removed() -> None:
    assert REUSE_WITHIN < SHORTEST


def aged(folder: Path, by: timedelta) -> None:
    then = time.time() - by.total_seconds()
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, (then, then))


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """An old artefact of p, a newer one, and an old half of a third."""
    store = LocalStore(tmp_path / "store")
    for name, tp, age in (("old", 1, 90), ("half", 3, 80), ("new", 2, 40)):
        folder, manifest = artefact(tmp_path / name, name="p", tp_degree=tp)
        publish(store, folder, manifest)
        if name == "half":
            store.delete([manifest_key("artefacts", manifest.id)])
        aged(tmp_path / "store" / "artefacts" / manifest.id, timedelta(days=age))
    return store


def test_without_yes_nothing_is_changed_and_with_it_what_was_said(
    store: LocalStore, tmp_path: Path
) -> None:
    before = {stored.key for stored in store.walk("")}
    command = ("artefacts", "prune", "--store", store.address, "--json")
    first = cli(*command)
    said = json.loads(first.communicate()[0])
    assert {stored.key for stored in store.walk("")} == before
    doomed = {verdict["id"] for verdict in said["verdicts"] if verdict["remove"]}
    assert (said["removed"], len(doomed)) == (False, 2)

    second = cli(*command, "--yes")
    assert json.loads(second.communicate()[0])["removed"]
    (left,) = holdings(store, "artefacts")
    assert left.id not in doomed
    assert left.published


def test_left_overs_of_a_second_publisher_go_and_the_artefact_stays(
    store: LocalStore, tmp_path: Path
) -> None:
    newest = next(
        one
        for one in holdings(store, "artefacts")
        if one.published and one.manifest and one.manifest.key and one.manifest.key.tp_degree == 2
    )
    stray = tmp_path / "store" / "artefacts" / newest.id / "files" / ("f" * 64)
    stray.write_bytes(b"other")
    young = stray.with_name("e" * 64)
    young.write_bytes(b"other")
    aged(stray.parent, timedelta(days=2))
    os.utime(young)
    done = cli("artefacts", "prune", "--store", store.address, "--yes", "--json")
    said = json.loads(done.communicate()[0])
    assert [Path(one).name for one in said["left_over_files"]] == ["f" * 64]
    assert not stray.exists()
    assert young.exists()
    assert any(one.published for one in holdings(store, "artefacts"))


def test_a_folder_that_is_no_store_is_neither_listed_nor_removed(tmp_path: Path) -> None:
    """A pair's own artefacts lie in ROOT/artefacts/NAME, where a store has its ids."""
    folder, _ = artefact(tmp_path / "nvme" / "artefacts" / "qwen2.5-tp2-abc123")
    beside = tmp_path / "nvme" / "artefacts" / ("a" * 64)
    (beside / "files").mkdir(parents=True)
    (beside / "files" / "notes.txt").write_text("mine")
    aged(tmp_path / "nvme", timedelta(days=60))
    before = contents(tmp_path / "nvme")
    store = LocalStore(tmp_path / "nvme")
    assert holdings(store, "artefacts") == []
    done = cli("artefacts", "prune", "--store", store.address, "--yes")
    assert done.communicate()[0] == f"{store.address} holds none.\n"
    assert contents(tmp_path / "nvme") == before
    assert folder.is_dir()


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ((b'"format": 1', b'"format": 2'), "unknown format: "),
        ((b'"kind":', b'"shape": 1, "kind":'), "damaged: "),
        ((b'"trn2"', b'"trn1"'), "damaged: "),
    ],
)
def test_what_has_a_manifest_that_cannot_be_read_goes_only_by_its_whole_id(
    tmp_path: Path, change: tuple[bytes, bytes], fault: str
) -> None:
    store = LocalStore(tmp_path / "store")
    folder, manifest = artefact(tmp_path / "made", name="p")
    publish(store, folder, manifest)
    place = manifest_key("artefacts", manifest.id)
    store.replace(place, store.read(place).replace(*change))
    aged(tmp_path / "store", timedelta(days=90))
    (one,) = holdings(store, "artefacts")
    assert one.fault.startswith(fault)
    now = datetime.now(UTC)
    assert removed([one], now=now) == set()
    assert removed([one], now=now, retired=[manifest.id[:12]]) == set()
    assert removed([one], now=now, retired=[manifest.id]) == {manifest.id}


def test_what_is_published_to_after_the_verdict_is_left_alone(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    folder, manifest = artefact(tmp_path / "made")
    publish(store, folder, manifest)
    place = manifest_key("artefacts", manifest.id)
    store.delete([place])
    aged(tmp_path / "store", timedelta(days=90))
    (half,) = holdings(store, "artefacts")
    publish(store, folder, manifest)
    assert not remove(store, half)
    aged(tmp_path / "store", timedelta(days=90))
    (whole,) = holdings(store, "artefacts")
    stray = tmp_path / "store" / "artefacts" / manifest.id / "files" / ("f" * 64)
    stray.write_bytes(b"of a publisher under way")
    assert not remove(store, whole)
    assert holdings(store, "artefacts")[0].published
    aged(stray.parent, timedelta(days=90))
    (both,) = holdings(store, "artefacts")
    files = left_over(both, now=datetime.now(UTC))
    assert [file.key.rpartition("/")[2] for file in files] == ["f" * 64]
    store.replace(place, manifest.to_bytes())
    assert not remove_left_over(store, both, files), "the new manifest may name it"
    assert stray.exists()
    (now,) = holdings(store, "artefacts")
    assert remove(store, now)
    assert holdings(store, "artefacts") == []


def test_weights_stay_while_an_artefact_needs_them_or_may_need_them(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    made = {}
    for name in ("old", "target", "draft", "new"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_text(f'{{"n": "{name}"}}')
        made[name] = manifests.describe(folder, "weights", "m")
        publish(store, folder, made[name])
        aged(tmp_path / "store" / "weights" / made[name].id, timedelta(days=90))
    aged(tmp_path / "store" / "weights" / made["new"].id, timedelta(days=40))
    folder, compiled = artefact(
        tmp_path / "a", name="p", target=made["target"].model, draft=made["draft"].model
    )
    publish(store, folder, compiled)
    prune = ("artefacts", "prune", "--kind", "weights", "--store", store.address)

    def kept() -> set[str]:
        return {one.id for one in holdings(store, "weights")}

    place = manifest_key("artefacts", compiled.id)
    whole = store.read(place)
    store.replace(place, whole[:-9])
    for last in ((), ("--yes",)):
        refused = CliRunner().invoke(main, [*prune, *last])
        assert refused.stderr.startswith(
            f"Error: {store.address}/{place} cannot be read, so nobody knows which weights"
        )
        assert refused.exit_code == 1
    assert kept() == {one.id for one in made.values()}

    store.replace(place, whole)
    said = CliRunner().invoke(main, [*prune, "--yes"]).stdout
    assert kept() == {made[name].id for name in ("target", "draft", "new")}
    assert "an artefact is compiled for it" in said

"""Refusals of the commands, each with its exit code and one sentence."""

from __future__ import annotations

import fcntl
import time
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import pytest
from click.testing import CliRunner, Result

from neuron.artefacts import manifest as manifests
from neuron.artefacts.local import LocalStore
from neuron.artefacts.publish import publish
from neuron.artefacts.pull import alone
from neuron.cli import main
from neuron.commands.compile import _run
from neuron.pair import Pair
from tests.neuron.artefacts.examples import artefact, write_folder
from tests.neuron.artefacts.test_compile import pair as pair
from tests.neuron.artefacts.test_compile import planned
from tests.neuron.artefacts.test_compile import trace as trace


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_a_folder_of_the_other_kind_is_refused_with_the_right_command(tmp_path: Path) -> None:
    weights = write_folder(tmp_path / "weights")
    manifests.write(weights, manifests.describe(weights, "weights", "w"))
    compiled, _ = artefact(tmp_path / "compiled")
    like_a_model, _ = artefact(tmp_path / "model")
    (like_a_model / "config.json").write_text("{}")
    (like_a_model / "model.safetensors").touch()
    store = ("--store", str(tmp_path / "store"))
    for arguments, right in (
        (("artefacts", "push", str(weights), *store), "neuron weights push"),
        (("artefacts", "verify", str(weights)), "neuron weights pull w"),
        (("weights", "push", str(compiled), *store), f"neuron artefacts push {compiled}"),
        (("weights", "push", str(like_a_model), *store), f"neuron artefacts push {like_a_model}"),
    ):
        result = run(*arguments)
        assert (result.exit_code, right in result.stderr) == (2, True), result.stderr
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("what", ["is not there", "is a file"])
def test_a_store_that_is_not_there_is_no_empty_store(tmp_path: Path, what: str) -> None:
    place = tmp_path / "store"
    if what == "is a file":
        place.touch()
    store, to = ("--store", str(place)), ("--to", str(tmp_path / "t"))
    for arguments in (
        ("weights", "list", *store),
        ("artefacts", "list", *store),
        ("weights", "pull", "x", *to, *store),
        ("artefacts", "pull", "a" * 64, *to, *store),
        ("artefacts", "verify", "x", *store),
        ("artefacts", "prune", *store),
    ):
        result = run(*arguments)
        assert (result.exit_code, what in result.stderr) == (6, True), arguments


def test_a_word_of_prune_that_matches_nothing_is_refused(tmp_path: Path) -> None:
    folder, manifest = artefact(tmp_path / "made", name="p")
    store = LocalStore(tmp_path / "store")
    publish(store, folder, manifest)
    command = ("artefacts", "prune", "--store", store.address)
    for option in ("--keep", "--retired"):
        result = run(*command, option, "q")
        assert (result.exit_code, "'q' is neither" in result.stderr) == (2, True)
        assert run(*command, option, "p").exit_code == 0
    assert run(*command, "--keep", manifest.id[:8]).exit_code == 0


def test_compiling_waits_for_whoever_has_the_folder(
    pair: Pair, trace: Path, tmp_path: Path
) -> None:
    made = planned(pair)
    made = replace(made, versions=replace(made.versions, measured=True))
    held, begun = Event(), []

    def hold() -> None:
        with alone(made.folder):
            held.set()
            time.sleep(0.7)
            begun.append(trace.exists())

    class Watched(LocalStore):
        def create(self, key: str, data: bytes) -> bool:
            lock = made.folder.parent / f".{made.folder.name}.lock"
            with lock.open() as file, pytest.raises(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return super().create(key, data)

    other = Thread(target=hold)
    other.start()
    assert held.wait(10)
    _run(made, Watched(tmp_path / "store"), 60, as_json=True)
    other.join()
    assert begun == [False]

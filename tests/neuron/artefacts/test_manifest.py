from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuron.artefacts import manifest as manifests
from neuron.artefacts.content import FileEntry, content_digest
from neuron.artefacts.errors import (
    ArtefactError,
    DamagedError,
    NotPublishedError,
    UnknownFormatError,
)
from neuron.artefacts.manifest import Manifest, Times
from tests.neuron.artefacts.examples import artefact, key, write_folder

segments = st.text("abcdefgh._-0", min_size=1, max_size=8).filter(lambda s: s not in (".", ".."))
files = st.lists(
    st.builds(
        FileEntry,
        path=st.lists(segments, min_size=1, max_size=3).map("/".join),
        size=st.integers(0, 2**50),
        sha256=st.text("0123456789abcdef", min_size=64, max_size=64),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda file: file.path,
)
seconds = st.none() | st.floats(0.001, 1e6)
times = st.builds(Times, compile_s=seconds, load_s=seconds, machine=st.text(max_size=8))


@given(files, times, st.booleans(), st.text(min_size=1, max_size=20))
def test_a_manifest_reads_back_as_it_was(
    entries: list[FileEntry], taken: Times, weights: bool, name: str
) -> None:
    kind: manifests.Kind = "weights" if weights else "artefacts"
    made = manifests.make(kind, name, entries, key=None if weights else key(), times=taken)
    again = manifests.parse(made.to_bytes(), "here")
    assert again == made
    assert again.id == (content_digest(entries) if weights else key().digest)


@given(files, st.data())
def test_any_altered_byte_is_noticed(entries: list[FileEntry], data: st.DataObject) -> None:
    text = manifests.make("artefacts", "p", entries, key=key()).to_bytes()
    place = data.draw(st.integers(0, len(text) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != text[place]))
    altered = text[:place] + bytes([byte]) + text[place + 1 :]
    try:
        again = manifests.parse(altered, "here")
    except (DamagedError, UnknownFormatError):
        return
    # White space between JSON's tokens is no content.
    assert again == manifests.parse(text, "here")


@given(st.data())
def test_a_manifest_that_was_cut_short_is_noticed(data: st.DataObject) -> None:
    entry = FileEntry(path="model.pt", size=1, sha256="a" * 64)
    text = manifests.make("artefacts", "p", [entry], key=key()).to_bytes().rstrip()
    with pytest.raises(DamagedError, match="half is damaged"):
        manifests.parse(text[: data.draw(st.integers(0, len(text) - 1))], "half")


@pytest.mark.parametrize("path", ["../up", "/etc/passwd", "a//b", "a/../../b", "", "a\\b", "."])
def test_a_path_out_of_the_folder_is_refused(path: str) -> None:
    raw = json.loads(
        manifests.make("weights", "w", [FileEntry(path="x", size=1, sha256="a" * 64)]).to_bytes()
    )
    raw["files"][0]["path"] = path
    # For its path, whose owner may have sealed it, and not for a broken seal.
    with pytest.raises(DamagedError, match="is not a path inside a folder"):
        manifests.parse(json.dumps(raw).encode(), "here")


def entry(path: str) -> FileEntry:
    return FileEntry(path=path, size=1, sha256="a" * 64)


@pytest.mark.parametrize(
    ("kind", "listed", "with_key"),
    [
        ("artefacts", ["a"], False),
        ("weights", ["a"], True),
        ("weights", [], False),
        ("weights", ["a", "a"], False),
        ("weights", [manifests.FILE], False),
    ],
)
def test_what_is_no_manifest_cannot_be_made(
    kind: manifests.Kind, listed: list[str], with_key: bool
) -> None:
    with pytest.raises(ValueError, match="value_error"):
        manifests.make(kind, "n", [entry(path) for path in listed], key=key() if with_key else None)


def test_a_folder_is_described_file_by_file_and_read_back(tmp_path: Path) -> None:
    folder, made = artefact(tmp_path / "a")
    assert {file.path for file in made.files} == {
        "model.pt",
        "neuron_config.json",
        *(f"weights/tp{rank}_sharded_checkpoint.safetensors" for rank in range(3)),
    }
    assert made.size == sum(path.stat().st_size for path in folder.rglob("*.[ps]*")) + len(
        (folder / "neuron_config.json").read_bytes()
    )
    assert manifests.read(folder) == made


def test_describing_again_leaves_our_own_files_out(tmp_path: Path) -> None:
    folder, made = artefact(tmp_path / "a")
    (folder / manifests.UNFINISHED).write_text("cut short")
    again = manifests.describe(folder, "artefacts", "a-pair", key=key())
    assert again.files == made.files


def test_times_can_be_added_later(tmp_path: Path) -> None:
    _, made = artefact(tmp_path / "a")
    later = manifests.retimed(made, Times(compile_s=900.0, load_s=60.5, machine="host"))
    assert (later.id, later.files) == (made.id, made.files)
    assert manifests.parse(later.to_bytes(), "x").times.load_s == 60.5


def test_a_folder_without_a_manifest_or_files_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotPublishedError, match=manifests.FILE):
        manifests.read(write_folder(tmp_path / "a"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ArtefactError, match="holds no files"):
        manifests.describe(tmp_path / "empty", "artefacts", "n", key=key())


def test_the_model_digest_is_of_what_is_compiled_only() -> None:
    def weights(*paths: str, **shas: str) -> Manifest:
        listed: list[Any] = [entry(path) for path in paths]
        return manifests.make("weights", "w", listed)

    model = weights("config.json", "model.safetensors")
    assert model.model == weights("config.json", "model.safetensors", "README.md").model
    assert model.id != weights("config.json", "model.safetensors", "README.md").id
    assert model.model != weights("config.json", "model-2.safetensors").model

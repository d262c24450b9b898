"""Weights through a store and from a hub, by the command itself."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from click.testing import CliRunner, Result

from neuron.artefacts import manifest as manifests
from neuron.artefacts.errors import ArtefactError, DamagedError, NotPublishedError, StoreError
from neuron.artefacts.hub import pull_from_hub
from neuron.artefacts.verified import record_of
from neuron.artefacts.verify import verify
from neuron.artefacts.wanted import content_of
from neuron.cli import main
from neuron.errors import ModelNotFoundError
from neuron.models import store_name
from tests.neuron.artefacts.examples import contents

MODEL = {"config.json": b'{"vocab_size": 9}', "model.safetensors": b"w" * 200_000}
COMMIT = "c" * 40


def write_model(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name, data in {**MODEL, "README.md": b"# A model"}.items():
        (folder / name).write_bytes(data)
    return folder


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["weights", *arguments])


def test_weights_go_to_s3_and_come_back_with_one_digest(bucket: str, tmp_path: Path) -> None:
    folder, store = write_model(tmp_path / "Qwen-X"), ("--store", f"s3://{bucket}/w")
    pushed = run("push", str(folder), *store, "--json")
    assert pushed.exit_code == 0, pushed.stderr
    row = json.loads(pushed.stdout)
    assert (row["name"], row["created"]) == ("Qwen-X", True)

    target = tmp_path / "nvme" / "model"
    pulled = run("pull", "Qwen-X", "--to", str(target), *store, "--json")
    assert pulled.exit_code == 0, pulled.stderr
    assert {**contents(folder)}.items() <= contents(target).items()
    assert row["model"] == content_of(folder) == content_of(target)
    assert json.loads(run("list", *store, "--json").stdout)[0]["model"] == row["model"]
    assert "verified, nothing moved" in run("pull", row["id"], "--to", str(target), *store).stdout


def test_a_known_models_folder_has_the_hubs_name_wherever_it_came_from(tmp_path: Path) -> None:
    """Who pulls for an engine asks by it."""
    folder, store = write_model(tmp_path / "Qwen3-32B"), ("--store", str(tmp_path / "store"))
    row = json.loads(run("push", str(folder), *store, "--json").stdout)
    assert row["name"] == store_name(folder) == "Qwen/Qwen3-32B"
    assert run("pull", "qwen3-32b", "--to", str(tmp_path / "m"), *store).exit_code == 0


def test_another_name_than_the_manifests_is_refused(tmp_path: Path, pulled: Path) -> None:
    store = ("--store", str(tmp_path / "other"))
    done = run("push", str(pulled), "--name", "n", *store)
    assert done.exit_code == 2
    assert f"By its manifest {pulled} is 'm'" in done.stderr
    assert run("push", str(pulled), "--name", "m", *store).exit_code == 0


@pytest.fixture
def pulled(tmp_path: Path) -> Path:
    store = ("--store", str(tmp_path / "store"))
    assert run("push", str(write_model(tmp_path / "m")), *store).exit_code == 0
    target = tmp_path / "pulled"
    assert run("pull", "m", "--to", str(target), *store).exit_code == 0
    return target


def hashed(tmp_path: Path) -> int:
    """Files that had to be read."""
    folder = tmp_path / "cache" / "specserve" / "sha256"
    return len(list(folder.iterdir())) if folder.is_dir() else 0


def test_what_was_pulled_or_verified_is_not_read_again(pulled: Path, tmp_path: Path) -> None:
    right = content_of(tmp_path / "m")
    read = hashed(tmp_path)
    assert read == len(MODEL)
    assert content_of(pulled) == right
    assert hashed(tmp_path) == read
    record_of(pulled).unlink()
    assert content_of(pulled) == right
    assert hashed(tmp_path) == 2 * read
    store = ("--store", str(tmp_path / "store"))
    assert run("push", str(pulled), *store).exit_code == 0
    assert record_of(pulled).is_file()
    record_of(pulled).unlink()
    assert run("pull", "m", "--to", str(pulled), *store).exit_code == 0
    assert record_of(pulled).is_file()


@pytest.mark.parametrize("later_ns", [-(10**17), -1, 1, 10**14])
def test_a_file_of_another_time_is_read_again_be_it_older_or_newer(
    pulled: Path, later_ns: int
) -> None:
    """Of the same size, and its time put back: `cp -p`, `rsync -t` and `tar` do so."""
    before, shard = content_of(pulled), pulled / "model.safetensors"
    then = shard.stat().st_mtime_ns
    shard.write_bytes(b"v" * 200_000)
    os.utime(shard, ns=(then + later_ns, then + later_ns))
    assert content_of(pulled) != before


def test_a_file_of_another_size_is_read_again_at_the_same_time(pulled: Path) -> None:
    before, shard = content_of(pulled), pulled / "model.safetensors"
    then = shard.stat().st_mtime_ns
    shard.write_bytes(b"w" * 200_001)
    os.utime(shard, ns=(then, then))
    assert content_of(pulled) != before
    assert content_of(pulled) == content_of(shutil.copytree(pulled, pulled.with_name("copy")))


def test_the_same_size_and_the_same_nanosecond_is_seen_by_reading_only(
    pulled: Path, tmp_path: Path
) -> None:
    """The limit that docs/artefacts.md states."""
    before, shard = content_of(pulled), pulled / "model.safetensors"
    then = shard.stat().st_mtime_ns
    shard.write_bytes(b"v" * 200_000)
    os.utime(shard, ns=(then, then))
    assert content_of(pulled) == before
    damaged = run("push", str(pulled), "--store", str(tmp_path / "store"))
    assert damaged.exit_code == 5
    assert "model.safetensors is not what its manifest says" in damaged.stderr


def test_a_file_that_changes_while_it_is_verified_is_read_again(pulled: Path) -> None:
    before, shard = content_of(pulled), pulled / "model.safetensors"

    def change_once_read(size: int) -> None:
        if size == 200_000:
            shard.write_bytes(b"v" * 200_000)

    verify(pulled, manifests.read(pulled), change_once_read)
    assert content_of(pulled) != before


@pytest.mark.parametrize("record", [b"", b"[]", b'{"model.safetensors": 1}', b"\xff"])
def test_a_record_that_is_none_is_no_proof(pulled: Path, record: bytes) -> None:
    before = content_of(pulled)
    record_of(pulled).write_bytes(record)
    assert content_of(pulled) == before
    (pulled / "model.safetensors").write_bytes(b"v" * 200_000)
    assert content_of(pulled) != before


def test_a_hash_is_kept_and_a_changed_file_is_read_again(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    first = content_of(folder)
    kept = list((tmp_path / "cache" / "specserve" / "sha256").iterdir())
    assert len(kept) == len(MODEL)
    for file in kept:
        file.write_text("0" * 64)
    kept_wrong = content_of(folder)
    assert kept_wrong != first, "kept hashes are what is used"
    (folder / "config.json").write_bytes(b'{"vocab_size": 8}')
    (folder / "model.safetensors").write_bytes(b"v" * 200_000)
    changed = content_of(folder)
    assert changed not in (first, kept_wrong)
    assert changed == content_of(shutil.copytree(folder, tmp_path / "copy"))
    (folder / "README.md").write_text("other")
    assert content_of(folder) == changed
    with pytest.raises(ModelNotFoundError, match="--target-digest"):
        content_of(tmp_path / "nowhere")


def test_exit_codes_of_what_cannot_be_done(bucket: str, tmp_path: Path) -> None:
    store = ("--store", f"s3://{bucket}/w")
    to = ("--to", str(tmp_path / "t"))
    missing = run("pull", "nothing", *to, *store)
    assert (missing.exit_code, missing.stderr.count("\n")) == (3, 1)
    assert run("pull", "nothing", *to).exit_code == 2
    assert run("pull", "x", *to, "--store", "s3://nobody-made-this").exit_code == 6
    assert run("push", str(tmp_path / "nowhere"), *store).exit_code == 3
    folder = write_model(tmp_path / "m")
    run("push", str(folder), *store)
    assert run("pull", "m", *to, *store).exit_code == 0
    (tmp_path / "t" / "config.json").write_text("{}")
    assert run("push", str(tmp_path / "t"), *store).exit_code == 5


# The hub, as its client asks it: a server of our own on a real socket.


class Hub(BaseHTTPRequestHandler):
    files: ClassVar[dict[str, bytes]] = {}
    stated: ClassVar[dict[str, str]] = {}
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.answer(body=True)

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def answer(self, *, body: bool) -> None:
        path = self.path.partition("?")[0]
        self.asked.append(f"{self.command} {path}")
        if path.startswith("/api/models/owner/model/revision/"):
            siblings = [
                {
                    "rfilename": name,
                    "size": len(data),
                    "lfs": {"sha256": self.stated[name], "size": len(data), "pointerSize": 9}
                    if name in self.stated
                    else None,
                }
                for name, data in self.files.items()
            ]
            answer = {"id": "owner/model", "sha": COMMIT, "siblings": siblings}
            self.send(200, json.dumps(answer).encode(), body=body)
        elif path == f"/api/models/owner/model/tree/{COMMIT}":
            tree = [
                {"type": "file", "path": name, "size": len(data), "oid": "d" * 40}
                for name, data in self.files.items()
            ]
            self.send(200, json.dumps(tree).encode(), body=body)
        elif path.startswith(f"/owner/model/resolve/{COMMIT}/"):
            data = self.files[path.rpartition("/")[2]]
            self.send(200, data, body=body)
        else:
            self.send(404, b"{}", body=body, error="RepoNotFound")

    def send(self, code: int, data: bytes, *, body: bool, error: str = "") -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        if error:
            self.send_header("X-Error-Code", error)
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[str]:
    Hub.files = {**MODEL, "pytorch_model.pth": b"the same again"}
    Hub.stated = {"model.safetensors": hashlib.sha256(MODEL["model.safetensors"]).hexdigest()}
    Hub.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_model_comes_from_the_hub_with_a_manifest_of_ours(hub: str, tmp_path: Path) -> None:
    target = tmp_path / "nvme" / "model"
    done = pull_from_hub("owner/model", target, endpoint=hub)
    assert set(contents(target)) == {*MODEL, manifests.FILE}
    assert done.manifest.origin == f"hub:owner/model@{COMMIT}"
    assert manifests.read(target) == done.manifest
    assert record_of(target).is_file()
    Hub.asked.clear()
    assert pull_from_hub("owner/model", target, endpoint=hub).moved == 0
    assert not any("/resolve/" in one for one in Hub.asked)


def test_what_came_from_elsewhere_is_not_signed_as_the_hubs(hub: str, tmp_path: Path) -> None:
    other = tmp_path / ".model.partial"
    other.mkdir()
    (other / "other.safetensors").write_bytes(b"of another repository")
    pull_from_hub("owner/model", tmp_path / "model", endpoint=hub)
    assert set(contents(tmp_path / "model")) == {*MODEL, manifests.FILE}
    same = tmp_path / f".again.{COMMIT}.partial"
    same.mkdir()
    (same / "stray.safetensors").write_bytes(b"of nobody")
    with pytest.raises(ArtefactError, match=r"holds stray\.safetensors"):
        pull_from_hub("owner/model", tmp_path / "again", endpoint=hub)
    assert (same / "stray.safetensors").exists()


def test_what_the_hub_states_and_what_came_must_agree(hub: str, tmp_path: Path) -> None:
    Hub.stated = {"model.safetensors": "0" * 64}
    with pytest.raises(DamagedError, match=r"model\.safetensors of owner/model"):
        pull_from_hub("owner/model", tmp_path / "model", endpoint=hub)
    assert not (tmp_path / "model").exists()


def test_what_the_hub_does_not_have_or_is_not_there_is_one_sentence(
    hub: str, tmp_path: Path
) -> None:
    with pytest.raises(NotPublishedError, match="hub has no owner/other"):
        pull_from_hub("owner/other", tmp_path / "model", endpoint=hub)
    with pytest.raises(NotPublishedError, match="owner/name"):
        pull_from_hub("a/b/c", tmp_path / "model", endpoint=hub)
    with pytest.raises(StoreError, match="hub cannot be used"):
        pull_from_hub("owner/model", tmp_path / "model", endpoint="http://127.0.0.1:9")


def test_a_folder_of_other_weights_is_not_overwritten(hub: str, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "mine")
    before = contents(folder)
    with pytest.raises(ArtefactError, match="without our manifest"):
        pull_from_hub("owner/model", folder, endpoint=hub)
    assert contents(folder) == before

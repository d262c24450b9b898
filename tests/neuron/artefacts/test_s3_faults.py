"""Processes that are killed and services that refuse, over HTTP."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from neuron.artefacts import s3
from neuron.artefacts.catalogue import holdings, load
from neuron.artefacts.errors import DamagedError, NotPublishedError, StoreError
from neuron.artefacts.publish import publish
from neuron.artefacts.pull import pull
from neuron.artefacts.s3 import S3Store
from neuron.artefacts.store import file_key
from tests.neuron.artefacts.conftest import Client, Server
from tests.neuron.artefacts.examples import artefact, cli, contents

WAIT_S = 60.0


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.02)


class Gate:
    """Lets `passing` requests of a kind through and holds the others until it is opened."""

    def __init__(self, method: str, part: str, passing: int) -> None:
        self._wanted = (method, part)
        self._passing = passing
        self._lock = threading.Lock()
        self.held = threading.Event()
        self.opened = threading.Event()

    def __call__(self, method: str, path: str) -> str | None:
        if method == self._wanted[0] and self._wanted[1] in path:
            with self._lock:
                self._passing -= 1
                over = self._passing < 0
            if over:
                self.held.set()
                self.opened.wait(WAIT_S)
                # Whoever asked is dead by now; the request must not land all the same.
                return "503 Slow Down"
        return None


def test_a_publish_killed_half_way_is_invisible_and_goes_on(
    server: Server, bucket: str, client: Client, tmp_path: Path
) -> None:
    folder, manifest = artefact(tmp_path / "made")
    address = f"s3://{bucket}/p"
    server.hook = gate = Gate("PUT", "/files/", passing=2)
    child = cli("artefacts", "push", str(folder), "--store", address)
    assert gate.held.wait(WAIT_S)
    store = S3Store(address)
    until(lambda: sum(1 for _ in store.walk("")) == 2)
    child.kill()
    child.communicate()
    gate.opened.set()
    server.hook = None

    (held,) = holdings(store, "artefacts")
    assert held.fault == "half-published: it has no manifest yet"
    refused = cli("artefacts", "pull", manifest.id, "--store", address, "--to", str(tmp_path / "t"))
    assert refused.communicate()[1].startswith("Error: There is no artefacts/")
    assert refused.returncode == 3

    server.requests.clear()
    done = publish(store, folder, manifest)
    assert done.created
    assert sum("/files/" in path for path in server.puts()) == 3, "two of five were there"
    assert contents(pull(store, manifest, tmp_path / "t").folder) == contents(folder)


def test_a_pull_killed_half_way_leaves_nothing_in_place_and_goes_on(
    server: Server, bucket: str, tmp_path: Path
) -> None:
    folder, manifest = artefact(tmp_path / "made")
    store = S3Store(f"s3://{bucket}/p")
    publish(store, folder, manifest)
    server.hook = gate = Gate("GET", "/files/", passing=2)
    target = tmp_path / "disk" / "pulled"
    command = ("artefacts", "pull", manifest.id, "--store", store.address, "--to", str(target))
    child = cli(*command, "--json")
    assert gate.held.wait(WAIT_S)
    partial = target.parent / ".pulled.partial"
    whole = {file.path for file in manifest.files}
    until(lambda: sum((partial / name).exists() for name in whole) == 2)
    child.kill()
    child.communicate()
    gate.opened.set()
    server.hook = None
    assert not target.exists()

    kept = sum(len(data) for name, data in contents(partial).items() if name in whole)
    again = cli(*command, "--json")
    out, err = again.communicate(timeout=WAIT_S)
    assert again.returncode == 0, err
    assert json.loads(out)["moved"] == manifest.size - kept
    assert contents(target) == contents(folder)
    assert not partial.exists()


def test_two_publishing_processes_meet_at_the_manifest(
    server: Server, bucket: str, tmp_path: Path
) -> None:
    made = [artefact(tmp_path / f"made{seed}", seed=seed) for seed in (1, 2)]
    meet = threading.Barrier(2)

    def both(method: str, path: str) -> None:
        if method == "PUT" and path.endswith("manifest.json"):
            meet.wait(WAIT_S)

    server.hook = both
    address = f"s3://{bucket}"
    children = [cli("artefacts", "push", str(f), "--store", address, "--json") for f, _ in made]
    outputs = [child.communicate(timeout=WAIT_S) for child in children]
    assert [child.returncode for child in children] == [0, 0], outputs
    created = [json.loads(out)["created"] for out, _ in outputs]
    assert sorted(created) == [False, True]
    store = S3Store(address)
    stored = load(store, "artefacts", made[0][1].id)
    assert stored == made[created.index(True)][1]
    back = pull(store, stored, tmp_path / "pulled")
    assert contents(back.folder) == contents(made[created.index(True)][0])


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("403 AccessDenied", "access is denied.*artefacts policy"),
        ("301 PermanentRedirect", "another region.*AWS_DEFAULT_REGION"),
        ("400 ExpiredToken", "session has expired"),
        ("403 InvalidAccessKeyId", "access key is not known"),
        ("403 SignatureDoesNotMatch", "secret key"),
        ("403 RequestTimeTooSkewed", "clock is wrong"),
    ],
)
def test_a_refusal_is_one_sentence(
    status: str, said: str, server: Server, bucket: str, tmp_path: Path
) -> None:
    folder, manifest = artefact(tmp_path / "made")
    # After a redirect botocore asks HEAD for the bucket's region.
    server.hook = lambda method, path: None if method == "HEAD" else status
    with pytest.raises(StoreError, match=said) as caught:
        publish(S3Store(f"s3://{bucket}/p"), folder, manifest)
    assert "\n" not in str(caught.value)


def test_a_service_that_is_busy_for_a_moment_is_asked_again(
    server: Server, bucket: str, tmp_path: Path
) -> None:
    folder, manifest = artefact(tmp_path / "made")
    refused: list[str] = []

    def busy(method: str, path: str) -> str | None:
        if method == "PUT" and path not in refused:
            refused.append(path)
            return "503 SlowDown"
        return None

    server.hook = busy
    assert publish(S3Store(f"s3://{bucket}/p"), folder, manifest).created
    assert len(refused) == 6


def test_a_manifest_that_another_is_just_writing_is_tried_again(
    server: Server, bucket: str, tmp_path: Path
) -> None:
    folder, manifest = artefact(tmp_path / "made")
    conflicts = ["409 ConditionalRequestConflict"]

    def undecided(method: str, path: str) -> str | None:
        if method == "PUT" and path.endswith("manifest.json") and conflicts:
            return conflicts.pop()
        return None

    server.hook = undecided
    assert publish(S3Store(f"s3://{bucket}/p"), folder, manifest).created
    assert conflicts == []


def test_a_service_that_stays_busy_is_left_after_five_attempts(server: Server, bucket: str) -> None:
    server.hook = lambda method, path: "503 SlowDown"
    with pytest.raises(StoreError, match="fewer requests"):
        S3Store(f"s3://{bucket}").read("x")
    assert len([one for one in server.requests if one[1].endswith("/x")]) == s3.ATTEMPTS


def test_no_bucket_no_credentials_and_no_endpoint_are_one_sentence_each(
    server: Server, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StoreError, match="there is no bucket of that name"):
        list(S3Store("s3://nobody-made-this/p").walk(""))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(StoreError, match="no usable AWS credentials"):
        list(S3Store(f"s3://{bucket}").walk(""))
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(StoreError, match="nobody"):
        S3Store(f"s3://{bucket}")


def test_an_endpoint_that_is_not_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    with pytest.raises(StoreError, match=r"cannot be reached.*AWS_ENDPOINT_URL_S3"):
        S3Store("s3://bucket/p").read("x")


def test_uploads_carry_a_checksum_that_the_service_keeps(
    bucket: str, client: Client, tmp_path: Path
) -> None:
    folder, manifest = artefact(tmp_path / "made")
    publish(S3Store(f"s3://{bucket}"), folder, manifest)
    for item in client.list_objects_v2(Bucket=bucket)["Contents"]:
        head = client.head_object(Bucket=bucket, Key=item["Key"], ChecksumMode="ENABLED")
        assert head["ChecksumSHA256"]


def test_an_upload_that_never_ended_is_named_and_abandoned(bucket: str, client: Client) -> None:
    store = S3Store(f"s3://{bucket}/p")
    key = f"artefacts/{'a' * 64}/files/{'b' * 64}"
    client.create_multipart_upload(Bucket=bucket, Key=f"p/{key}")
    client.create_multipart_upload(Bucket=bucket, Key="elsewhere/z")
    assert list(store.unfinished("artefacts", timedelta(seconds=-5))) == [key]
    store.abandon("artefacts", timedelta(seconds=-5))
    assert list(store.unfinished("artefacts", timedelta(seconds=-5))) == []
    left = client.list_multipart_uploads(Bucket=bucket)["Uploads"]
    assert [upload["Key"] for upload in left] == ["elsewhere/z"]


def test_a_role_that_may_list_a_prefix_only_is_told_what_is_not_there(
    server: Server, bucket: str, tmp_path: Path
) -> None:
    """To such a role AWS answers 403 where it would say 404 to others; moto does not."""
    folder, manifest = artefact(tmp_path / "made")
    store = S3Store(f"s3://{bucket}/p")
    publish(store, folder, manifest)
    lost = file_key("artefacts", manifest.id, manifest.files[0].sha256)
    store.delete([lost])

    def forbid(method: str, path: str) -> str | None:
        gone = path.endswith(("/nothing", lost))
        return "403 AccessDenied" if gone and method in ("GET", "HEAD") else None

    server.hook = forbid
    with pytest.raises(NotPublishedError, match="There is no nothing"):
        store.read("nothing")
    with pytest.raises(DamagedError, match="--repair"):
        pull(store, manifest, tmp_path / "pulled")

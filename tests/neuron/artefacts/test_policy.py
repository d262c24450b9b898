"""The policy is tried: moto's IAM decides over each request of a user that has it and no other."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest

from neuron.artefacts.catalogue import holdings, load
from neuron.artefacts.errors import AddressError, StoreError
from neuron.artefacts.policy import Role, policy
from neuron.artefacts.prune import remove
from neuron.artefacts.publish import publish
from neuron.artefacts.pull import pull
from neuron.artefacts.s3 import S3Store
from tests.neuron.artefacts.conftest import Server
from tests.neuron.artefacts.examples import artefact

Become = Callable[[Role], S3Store]


@pytest.fixture
def address(bucket: str) -> str:
    return f"s3://{bucket}/team/store"


@pytest.fixture
def become(server: Server, address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Become]:
    def user(role: Role) -> S3Store:
        enforce(server, "inf")
        iam = boto3.session.Session().client("iam", endpoint_url=server.url)
        name = f"{role}-{address.split('/')[2]}"
        iam.create_user(UserName=name)
        iam.put_user_policy(
            UserName=name, PolicyName="it", PolicyDocument=json.dumps(policy(address, role))
        )
        keys = iam.create_access_key(UserName=name)["AccessKey"]
        iam.close()
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys["AccessKeyId"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys["SecretAccessKey"])
        enforce(server, "0")
        return S3Store(address)

    yield user
    enforce(server, "inf")


def enforce(server: Server, after: str) -> None:
    httpx.post(f"{server.url}/moto-api/reset-auth", content=after).raise_for_status()


def test_each_role_can_do_its_work_and_no_more(
    become: Become, address: str, tmp_path: Path
) -> None:
    folder, manifest = artefact(tmp_path / "made")
    publisher = become("publisher")
    publish(publisher, folder, manifest)
    with pytest.raises(StoreError, match="access is denied"):
        publisher.delete(["artefacts/x"])

    reader = become("reader")
    pull(reader, load(reader, "artefacts", manifest.id), tmp_path / "pulled")
    with pytest.raises(StoreError, match=r"access is denied.*neuron artefacts policy"):
        reader.create("artefacts/x", b"x")
    with pytest.raises(StoreError, match="access is denied"):
        reader.unfinished("artefacts", timedelta(0))

    pruner = become("pruner")
    (held,) = holdings(pruner, "artefacts")
    pruner.abandon("artefacts", timedelta(0))
    remove(pruner, held)
    assert holdings(pruner, "artefacts") == []
    with pytest.raises(StoreError, match="access is denied"):
        pruner.create("artefacts/x", b"x")


def test_nothing_beside_the_prefix_is_allowed(become: Become, address: str) -> None:
    become("publisher")
    with pytest.raises(StoreError, match="access is denied"):
        S3Store(address.replace("/team/store", "/team/other")).create("x", b"x")


def actions(document: dict[str, Any]) -> set[str]:
    found: set[str] = set()
    for statement in document["Statement"]:
        listed = statement["Action"]
        found |= {listed} if isinstance(listed, str) else set(listed)
    return found


@pytest.mark.parametrize("role", ["reader", "publisher", "pruner"])
def test_no_statement_is_wider_than_the_store(role: Role) -> None:
    document = policy("s3://b/a/p/", role, partition="aws-cn", kms_key="arn:key")
    assert not any("*" in action for action in actions(document))
    resources = {statement["Resource"] for statement in document["Statement"]}
    assert resources == {"arn:aws-cn:s3:::b/a/p/*", "arn:aws-cn:s3:::b", "arn:key"}
    listing = next(s for s in document["Statement"] if s["Action"] == "s3:ListBucket")
    assert listing["Condition"] == {"StringLike": {"s3:prefix": "a/p/*"}}


def test_only_the_pruner_deletes_and_only_the_publisher_writes() -> None:
    assert {
        role
        for role in ("reader", "publisher", "pruner")
        if "s3:DeleteObject" in actions(policy("s3://b/p", role))
    } == {"pruner"}
    assert {
        role
        for role in ("reader", "publisher", "pruner")
        if "s3:PutObject" in actions(policy("s3://b/p", role))
    } == {"publisher"}


def test_a_directory_has_no_policy() -> None:
    with pytest.raises(AddressError, match="A policy is for S3"):
        policy("/data/store", "reader")

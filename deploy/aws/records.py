"""What is being launched under a name, written down before it is: `hosts/NAME/` in the bucket.

The record holds the token under which EC2 starts at most one instance, so whoever repeats a launch,
after a crash or beside another, gets the same one.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from uuid import uuid4

from botocore.exceptions import ClientError

from deploy.aws.bundle import sha256
from deploy.aws.clients import Clients, code_of, said
from deploy.aws.errors import DeployError, SettingsError

ABSENT = ("NoSuchKey", "404")
TAKEN = ("PreconditionFailed", "ConditionalRequestConflict", "412")


@dataclass(frozen=True)
class Record:
    token: str
    """EC2's client token."""
    bundle: str
    """SHA-256 of the archive."""
    subnet: str
    block: str | None
    """Of the Capacity Block; None is on demand."""
    template_version: int

    def key(self, name: str) -> str:
        return f"{prefix(name)}{self.bundle}.tar.gz"


def prefix(name: str) -> str:
    return f"hosts/{name}/"


def new_token() -> str:
    return uuid4().hex


def claim(clients: Clients, bucket: str, name: str, wanted: Record) -> Record:
    """`wanted`, or the record that is there if only its token differs. Raises SettingsError."""
    with said(f"s3://{bucket}"):
        try:
            clients.s3.put_object(
                Bucket=bucket,
                Key=_record_key(name),
                Body=json.dumps(asdict(wanted)).encode(),
                ContentType="application/json",
                IfNoneMatch="*",
            )
        except ClientError as error:
            if code_of(error) not in TAKEN:
                raise
        else:
            return wanted
    there = read(clients, bucket, name)
    if there is None:
        raise DeployError(f"{name!r} was taken down while it was launched: launch it again.")
    differing = [
        field
        for field, value in asdict(wanted).items()
        if field != "token" and value != asdict(there)[field]
    ]
    if differing:
        raise SettingsError(
            f"{name!r} was launched with another {', '.join(differing)}: `down {name}` first, or "
            "take another name."
        )
    return there


def read(clients: Clients, bucket: str, name: str) -> Record | None:
    with said(f"s3://{bucket}"):
        try:
            answer = clients.s3.get_object(Bucket=bucket, Key=_record_key(name))
        except ClientError as error:
            if code_of(error) in ABSENT:
                return None
            raise
        text = answer["Body"].read()
    try:
        return Record(**json.loads(text))
    except (TypeError, ValueError) as error:
        raise DeployError(
            f"s3://{bucket}/{_record_key(name)} is no record of a launch: remove it."
        ) from error


def put_bundle(clients: Clients, bucket: str, key: str, content: bytes) -> None:
    with said(f"s3://{bucket}/{key}"):
        clients.s3.put_object(
            Bucket=bucket, Key=key, Body=content, ChecksumAlgorithm="SHA256",
            Metadata={"sha256": sha256(content)},
        )  # fmt: skip


def forget(clients: Clients, bucket: str, name: str) -> int:
    """Removes what is below `hosts/NAME/`, the record last; how many objects that were."""
    pages = clients.s3.get_paginator("list_objects_v2")
    with said(f"s3://{bucket}"):
        keys = [
            one["Key"]
            for page in pages.paginate(Bucket=bucket, Prefix=prefix(name))
            for one in page.get("Contents", [])
        ]
        for key in sorted(keys, key=lambda key: key == _record_key(name)):
            clients.s3.delete_object(Bucket=bucket, Key=key)
    return len(keys)


def _record_key(name: str) -> str:
    return f"{prefix(name)}launch.json"

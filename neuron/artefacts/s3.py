"""S3 as a store, through boto3's own transfer manager: multipart, parallel, parts tried again."""

from __future__ import annotations

import mimetypes
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
from boto3.s3.transfer import ProgressCallbackInvoker, TransferConfig, create_transfer_manager
from botocore.config import Config
from botocore.exceptions import ClientError

from neuron.artefacts.errors import AddressError, DamagedError, NotPublishedError
from neuron.artefacts.manifest import Kind
from neuron.artefacts.s3_errors import ARTEFACTS, MISSING, Service, code_of, said
from neuron.artefacts.store import Progress, Stored, Transfer, id_in

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 60
"""Between two bytes of an answer, not for the whole of it."""
ATTEMPTS = 5
PARALLEL = 16
"""Requests in flight, over all files together."""
PART_BYTES = 64 * 1024 * 1024
"""One part; s3transfer takes larger ones where a file would need more than 10,000."""
TAKEN = ("PreconditionFailed", "412")
UNDECIDED = ("ConditionalRequestConflict", "409")
"""Another conditional write of the same key is under way; S3 asks to try again."""
UNDECIDED_WAIT_S = 0.5

CONFIG = Config(
    connect_timeout=CONNECT_TIMEOUT_S,
    read_timeout=READ_TIMEOUT_S,
    retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
    max_pool_connections=PARALLEL,
    user_agent_extra="specserve",
)


class S3Store:
    def __init__(
        self, address: str, *, part_bytes: int = PART_BYTES, service: Service = ARTEFACTS
    ) -> None:
        """`s3://bucket/prefix`; where and as whom is boto3's to find out.

        Raises AddressError, or StoreError for a profile or region that is none.
        """
        bucket, _, prefix = address.removeprefix("s3://").partition("/")
        if not bucket:
            raise AddressError(f"{address} names no bucket: give s3://bucket/prefix.")
        self._bucket = bucket
        self._service = service
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._transfers = TransferConfig(
            multipart_threshold=part_bytes,
            multipart_chunksize=part_bytes,
            max_concurrency=PARALLEL,
            num_download_attempts=ATTEMPTS,
            preferred_transfer_client="classic",
        )
        with self._said():
            # A session of its own: boto3's default one is shared and not safe to build clients in.
            self._client: Any = boto3.session.Session().client("s3", config=CONFIG)

    @property
    def address(self) -> str:
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    def check(self) -> None:
        """Each request says so itself: a bucket that is not there answers none."""

    def walk(self, prefix: str) -> Iterator[Stored]:
        pages = self._client.get_paginator("list_objects_v2")
        with self._said():
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix + prefix):
                for item in page.get("Contents", []):
                    key = str(item["Key"]).removeprefix(self._prefix)
                    yield Stored(key, int(item["Size"]), item["LastModified"])

    def read(self, key: str) -> bytes:
        with self._said():
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + key)
                return bytes(answer["Body"].read())
            except ClientError as error:
                if self._is_gone(error, key):
                    raise NotPublishedError(f"There is no {key} in {self.address}.") from error
                raise

    def create(self, key: str, data: bytes) -> bool:
        with self._said():
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    self._put(key, data, IfNoneMatch="*")
                except ClientError as error:
                    if code_of(error) in TAKEN:
                        return False
                    if code_of(error) not in UNDECIDED or attempt == ATTEMPTS:
                        raise
                    time.sleep(UNDECIDED_WAIT_S)
                else:
                    break
        return True

    def replace(self, key: str, data: bytes) -> None:
        with self._said():
            self._put(key, data)

    def upload(self, transfers: Sequence[Transfer], progress: Progress) -> None:
        # The service checks each part against it before it keeps the part.
        extra = {"ChecksumAlgorithm": "SHA256"}
        with self._said(), self._manager() as manager:
            futures = [
                manager.upload(
                    str(transfer.path),
                    self._bucket,
                    self._prefix + transfer.key,
                    extra_args=dict(extra),
                    subscribers=[ProgressCallbackInvoker(progress)],
                )
                for transfer in transfers
            ]
            for future in futures:
                future.result()

    def download(self, transfers: Sequence[Transfer], progress: Progress) -> None:
        with self._said(), self._manager() as manager:
            futures = [
                manager.download(
                    self._bucket,
                    self._prefix + transfer.key,
                    str(transfer.path),
                    subscribers=[ProgressCallbackInvoker(progress)],
                )
                for transfer in transfers
            ]
            # What is gone does not stop the rest, which is kept for the next time.
            landed = [
                self._has_landed(transfer, future.result)
                for transfer, future in zip(transfers, futures, strict=True)
            ]
        gone = [transfer for transfer, came in zip(transfers, landed, strict=True) if not came]
        if gone:
            raise DamagedError(
                f"{self.address} lacks {len(gone)} files that a manifest there names, such as "
                f"{gone[0].key}: publish again with --repair."
            )

    def delete(self, keys: Iterable[str]) -> None:
        with self._said():
            for key in keys:
                self._client.delete_object(Bucket=self._bucket, Key=self._prefix + key)

    def unfinished(self, kind: Kind, older_than: timedelta) -> Sequence[str]:
        return [self._key_of(upload) for upload in self._uploads(kind, older_than)]

    def abandon(self, kind: Kind, older_than: timedelta) -> None:
        with self._said():
            for upload in self._uploads(kind, older_than):
                self._client.abort_multipart_upload(
                    Bucket=self._bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                )

    def _key_of(self, upload: dict[str, Any]) -> str:
        return str(upload["Key"]).removeprefix(self._prefix)

    def _uploads(self, kind: Kind, older_than: timedelta) -> list[dict[str, Any]]:
        limit = datetime.now(UTC) - older_than
        pages = self._client.get_paginator("list_multipart_uploads")
        below = f"{self._prefix}{kind}/"
        with self._said():
            return [
                upload
                for page in pages.paginate(Bucket=self._bucket, Prefix=below)
                for upload in page.get("Uploads", [])
                if upload["Initiated"] < limit and id_in(self._key_of(upload))
            ]

    def _said(self) -> AbstractContextManager[None]:
        return said(self.address, self._service)

    def _put(self, key: str, data: bytes, **more: str) -> None:
        self._client.put_object(
            Bucket=self._bucket,
            Key=self._prefix + key,
            Body=data,
            ChecksumAlgorithm="SHA256",
            ContentType=mimetypes.guess_type(key)[0] or "application/octet-stream",
            **more,
        )

    def _manager(self) -> AbstractContextManager[Any]:
        manager: AbstractContextManager[Any] = create_transfer_manager(
            self._client, self._transfers
        )
        return manager

    def _has_landed(self, transfer: Transfer, wait: Callable[[], object]) -> bool:
        try:
            wait()
        except ClientError as error:
            if self._is_gone(error, transfer.key):
                return False
            raise
        return True

    def _is_gone(self, error: ClientError, key: str) -> bool:
        code = code_of(error)
        if code != "AccessDenied":
            return code in MISSING
        # To a role that may list a prefix only, S3 answers 403 for what is not there, not 404.
        return not any(stored.key == key for stored in self.walk(key))

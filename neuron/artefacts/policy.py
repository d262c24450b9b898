"""The least that a role must be allowed, as an IAM policy document."""

from __future__ import annotations

from typing import Any, Literal

from neuron.artefacts.errors import AddressError

Role = Literal["reader", "publisher", "pruner"]

OBJECTS: dict[Role, tuple[str, ...]] = {
    "reader": ("s3:GetObject",),
    "publisher": ("s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"),
    "pruner": ("s3:GetObject", "s3:DeleteObject", "s3:AbortMultipartUpload"),
}
"""What each call of `neuron.artefacts.s3` needs, by the service authorization reference of S3.
UploadPart and CompleteMultipartUpload are PutObject; HeadObject is GetObject."""
KEYS: dict[Role, tuple[str, ...]] = {
    "reader": ("kms:Decrypt",),
    # A multipart upload under KMS also decrypts.
    "publisher": ("kms:Decrypt", "kms:GenerateDataKey"),
    "pruner": ("kms:Decrypt",),
}


def policy(
    address: str, role: Role, *, partition: str = "aws", kms_key: str | None = None
) -> dict[str, Any]:
    """For `s3://bucket/prefix` and nothing beside it. Raises AddressError for another."""
    if not address.startswith("s3://") or not address.removeprefix("s3://").strip("/"):
        raise AddressError(f"A policy is for S3, and {address} is no s3://bucket/prefix.")
    bucket, _, prefix = address.removeprefix("s3://").partition("/")
    below = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
    bucket_arn = f"arn:{partition}:s3:::{bucket}"
    statements: list[dict[str, Any]] = [
        {
            "Sid": "Objects",
            "Effect": "Allow",
            "Action": list(OBJECTS[role]),
            "Resource": f"{bucket_arn}/{below}*",
        },
        {
            "Sid": "ListBelowThePrefix",
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": bucket_arn,
            "Condition": {"StringLike": {"s3:prefix": f"{below}*"}},
        },
    ]
    if role == "pruner":
        statements.append(
            {
                "Sid": "UnfinishedUploads",
                "Effect": "Allow",
                "Action": "s3:ListBucketMultipartUploads",
                "Resource": bucket_arn,
            }
        )
    if kms_key:
        statements.append(
            {
                "Sid": "TheBucketsKey",
                "Effect": "Allow",
                "Action": list(KEYS[role]),
                "Resource": kms_key,
            }
        )
    return {"Version": "2012-10-17", "Statement": statements}

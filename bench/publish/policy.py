"""The least that a role needs to publish, as IAM policy JSON."""

from typing import Any

from bench.errors import UsageProblemError


def publish_policy(
    address: str, namespace: str | None, *, partition: str = "aws", kms_key: str | None = None
) -> dict[str, Any]:
    """Nothing may be deleted, and nothing be read or written beside the prefix.

    Raises UsageProblemError for what is no s3://bucket/prefix.
    """
    bucket, _, prefix = address.removeprefix("s3://").partition("/")
    if not address.startswith("s3://") or not bucket:
        raise UsageProblemError(f"--s3 {address} is no s3://bucket/prefix.")
    below = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
    bucket_arn = f"arn:{partition}:s3:::{bucket}"
    statements: list[dict[str, Any]] = [
        {
            "Sid": "Results",
            "Effect": "Allow",
            "Action": ["s3:PutObject", "s3:GetObject"],
            "Resource": f"{bucket_arn}/{below}*",
        },
        {
            # Without it S3 answers 403, not 404, for what is not there yet.
            "Sid": "ListBelowThePrefix",
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": bucket_arn,
            "Condition": {"StringLike": {"s3:prefix": f"{below}*"}},
        },
    ]
    if namespace:
        statements.append(
            {
                # The action has no resources; the namespace is all that can be fixed.
                "Sid": "Figures",
                "Effect": "Allow",
                "Action": "cloudwatch:PutMetricData",
                "Resource": "*",
                "Condition": {"StringEquals": {"cloudwatch:namespace": namespace}},
            }
        )
    if kms_key:
        statements.append(
            {
                "Sid": "TheBucketsKey",
                "Effect": "Allow",
                "Action": ["kms:GenerateDataKey", "kms:Decrypt"],
                "Resource": kms_key,
            }
        )
    return {"Version": "2012-10-17", "Statement": statements}

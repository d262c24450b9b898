"""botocore's errors as one sentence each, with the way out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from botocore import exceptions as aws
from s3transfer.exceptions import RetriesExceededError

from neuron.artefacts.errors import StoreError


@dataclass(frozen=True)
class Service:
    """What an error names as the way out: who asks, and of which service."""

    policy: str = "neuron artefacts policy"
    endpoint: str = "AWS_ENDPOINT_URL_S3"


ARTEFACTS = Service()
MISSING = ("NoSuchKey", "404", "NotFound")
REFUSED = {
    "NoSuchBucket": "there is no bucket of that name: create it, or correct the address",
    "AccessDenied": ("access is denied: `{policy}` prints what the role in use must allow"),
    "PermanentRedirect": (
        "the bucket is in another region: set AWS_DEFAULT_REGION to the bucket's, or {endpoint}"
    ),
    "InvalidAccessKeyId": "the access key is not known there: check which account is in use",
    "SignatureDoesNotMatch": "the secret key is not the access key's: set both again",
    "ExpiredToken": "the session has expired: sign in again, or let the role renew it",
    "RequestTimeTooSkewed": "this machine's clock is wrong: set it, as signatures carry the time",
    "SlowDown": "it asks for fewer requests, and went on doing so after five attempts: try later",
    "EntityTooLarge": "the file is larger than the service takes",
    "InvalidBucketName": "that is no bucket name: correct the address",
}
SAME = {
    "403": "AccessDenied",
    "Forbidden": "AccessDenied",
    "AllAccessDisabled": "AccessDenied",
    "301": "PermanentRedirect",
    "AuthorizationHeaderMalformed": "PermanentRedirect",
    "IllegalLocationConstraintException": "PermanentRedirect",
    "InvalidToken": "ExpiredToken",
    "503": "SlowDown",
    "ServiceUnavailable": "SlowDown",
}

CONNECTION = (
    aws.EndpointConnectionError,
    aws.ConnectTimeoutError,
    aws.ProxyConnectionError,
    aws.ConnectionClosedError,
    aws.ReadTimeoutError,
    aws.ResponseStreamingError,
    aws.IncompleteReadError,
    aws.HTTPClientError,
    RetriesExceededError,
)
CREDENTIALS = (
    aws.NoCredentialsError,
    aws.PartialCredentialsError,
    aws.CredentialRetrievalError,
    aws.TokenRetrievalError,
    aws.SSOError,
    aws.NoAuthTokenError,
)


@contextmanager
def said(address: str, service: Service = ARTEFACTS) -> Iterator[None]:
    """Raises StoreError for whatever boto3 or s3transfer raises inside, but for the disk."""
    try:
        yield
    except aws.ClientError as error:
        raise StoreError(f"{address}: {_refusal(error, service)}.") from error
    except CREDENTIALS as error:
        raise StoreError(
            f"{address}: no usable AWS credentials are found: give the machine or pod a role, or "
            f"set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY ({_line(error)})."
        ) from error
    except aws.SSLError as error:
        raise StoreError(
            f"{address}: the endpoint's certificate is not trusted: set AWS_CA_BUNDLE, or correct "
            f"{service.endpoint} ({_line(error)})."
        ) from error
    except CONNECTION as error:
        raise StoreError(
            f"{address}: the endpoint cannot be reached, or stopped answering: check the network, "
            f"the region and {service.endpoint}, then repeat the command, which goes on from "
            f"where it was ({_line(error)})."
        ) from error
    except aws.InvalidRegionError as error:
        # What botocore says after a redirect that names no region.
        raise StoreError(
            f"{address}: the bucket is in another region, or the one in use is none: set "
            f"AWS_DEFAULT_REGION to the bucket's, or {service.endpoint} ({_line(error)})."
        ) from error
    except aws.BotoCoreError as error:
        raise StoreError(f"{address}: {_line(error)}.") from error


def code_of(error: aws.ClientError) -> str:
    code = str(error.response.get("Error", {}).get("Code", ""))
    return SAME.get(code, code)


def _refusal(error: aws.ClientError, service: Service) -> str:
    code = code_of(error)
    known = REFUSED.get(code)
    if known:
        out = known.format(policy=service.policy, endpoint=service.endpoint)
        return f"{out} ({error.operation_name}: {code})"
    return f"the service refused {error.operation_name}: {_line(error)}"


def _line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")

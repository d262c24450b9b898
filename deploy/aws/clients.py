"""boto3's clients with the timeouts and retries of this program, and its errors as sentences."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import boto3
from botocore import exceptions as aws
from botocore.config import Config
from botocore.parsers import ResponseParserError

from deploy.aws.errors import AwsError, RefusedError

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 30
ATTEMPTS = 4
SETTLING_S = 60.0
"""EC2 shows what was made a little later than it answers."""

UNANSWERED = ("InternalError", "InternalFailure", "ServiceUnavailable", "Unavailable", "500", "503")
"""Answers that do not say that nothing was done."""

WAYS_OUT = {
    "UnauthorizedOperation": "the credentials in use may not: docs/ec2.md lists what they need",
    "AccessDenied": "the credentials in use may not: docs/ec2.md lists what they need",
    "AccessDeniedException": "the credentials in use may not: docs/ec2.md lists what they need",
    "AuthFailure": "the credentials in use are not valid there: sign in again",
    "ExpiredToken": "the session has expired: sign in again",
    "InsufficientInstanceCapacity": "there is none now: buy a Capacity Block, or try another zone",
    "VcpuLimitExceeded": "the account's quota of Trn instances is too small: ask for more",
}


@dataclass(frozen=True)
class Clients:
    ec2: Any
    purchases: Any
    """EC2 without a second attempt: PurchaseCapacityBlock has no client token, so one would buy
    twice."""
    s3: Any
    ssm: Any


@dataclass(frozen=True)
class Clock:
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    sleep: Callable[[float], None] = field(default=time.sleep)


@dataclass(frozen=True)
class Setup:
    """The seams of the program."""

    clients: Callable[[str | None], Clients]
    """From a region, or None for boto3's own. Raises AwsError."""
    clock: Clock


def connect(region: str | None, *, attempts: int = ATTEMPTS) -> Clients:
    """Raises AwsError."""
    with said("AWS"):
        session = boto3.session.Session(region_name=region)
        if session.region_name is None:
            raise AwsError("No region is chosen: give --region, or set AWS_DEFAULT_REGION.")

        def client(service: str, attempts: int = attempts) -> Any:  # noqa: ANN401 - boto3 has no types
            retries = {"mode": "standard", "total_max_attempts": attempts}
            config = Config(
                connect_timeout=CONNECT_TIMEOUT_S, read_timeout=READ_TIMEOUT_S, retries=retries
            )
            return session.client(service, config=config)

        return Clients(client("ec2"), client("ec2", attempts=1), client("s3"), client("ssm"))


def code_of(error: aws.ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def said(what: str) -> Iterator[None]:
    """Raises RefusedError or AwsError for whatever boto3 raises inside."""
    try:
        yield
    except aws.ClientError as error:
        code = code_of(error)
        reason = WAYS_OUT.get(code) or _line(error)
        message = f"{what}: {error.operation_name} was refused, {code}: {reason}."
        if code in UNANSWERED:
            raise AwsError(f"{what}: {_line(error)}; run the command again.") from error
        raise RefusedError(message, code) from error
    except (aws.NoCredentialsError, aws.PartialCredentialsError, aws.TokenRetrievalError) as error:
        raise AwsError(
            f"{what}: no usable AWS credentials are found: sign in ({error})."
        ) from error
    except (aws.BotoCoreError, ResponseParserError) as error:
        raise AwsError(f"{what}: {_line(error)}; run the command again.") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")

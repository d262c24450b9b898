"""CloudWatch through boto3, with the artefacts' timeouts and words for errors."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from bench.publish.metrics import Metric
from neuron.artefacts.errors import StoreError
from neuron.artefacts.s3 import CONFIG
from neuron.artefacts.s3_errors import Service, said

# CloudWatch knows no request that it has seen before: asked again unasked, it may count twice.
ONCE = CONFIG.merge(Config(retries={"mode": "standard", "total_max_attempts": 1}))
SERVER_ERROR = 500
SERVICE = Service("bench publish --policy", "AWS_ENDPOINT_URL_CLOUDWATCH")


class CloudWatch:
    def __init__(self, namespace: str) -> None:
        """Raises StoreError for a profile or region that is none."""
        self.namespace = namespace
        with self._said():
            self._client: Any = boto3.session.Session().client("cloudwatch", config=ONCE)

    def put(self, metrics: Sequence[Metric], at: datetime) -> None:
        """One request, sent once. Raises StoreError, which says so where nobody knows its fate."""
        with self._said():
            try:
                self._client.put_metric_data(
                    Namespace=self.namespace, MetricData=[one.request(at) for one in metrics]
                )
            except (ConnectionClosedError, ReadTimeoutError) as error:
                raise self._undecided(error) from error
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] >= SERVER_ERROR:
                    raise self._undecided(error) from error
                raise

    def _undecided(self, error: Exception) -> StoreError:
        return StoreError(
            f"CloudWatch, namespace {self.namespace}: the figures were sent once, and no answer "
            "says whether they were taken. Publishing again sends them again: if they were, "
            "SampleCount and Sum then count them twice, and Average, Minimum and Maximum are right "
            f"({error})."
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    def _said(self) -> AbstractContextManager[None]:
        return said(f"CloudWatch, namespace {self.namespace}", SERVICE)

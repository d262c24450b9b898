"""CloudWatch through boto3, with the artefacts' timeouts and words for errors."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import boto3

from bench.publish.metrics import Metric
from neuron.artefacts.s3 import CONFIG
from neuron.artefacts.s3_errors import Service, said

SERVICE = Service("bench publish --policy", "AWS_ENDPOINT_URL_CLOUDWATCH")


class CloudWatch:
    def __init__(self, namespace: str) -> None:
        """Raises StoreError for a profile or region that is none."""
        self.namespace = namespace
        with self._said():
            self._client: Any = boto3.session.Session().client("cloudwatch", config=CONFIG)

    def put(self, metrics: Sequence[Metric], at: datetime) -> None:
        """One request. Asked again after a broken connection, a value may count twice; no average,
        least or greatest changes by that."""
        with self._said():
            self._client.put_metric_data(
                Namespace=self.namespace, MetricData=[one.request(at) for one in metrics]
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

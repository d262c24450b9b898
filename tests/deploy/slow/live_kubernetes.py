"""The chart's manifests against newer versions of Kubernetes than the oldest that it takes."""

from __future__ import annotations

from typing import Any

import kubernetes_validate
import pytest

from tests.deploy.chart import manifests
from tests.deploy.test_chart import CUSTOM, every_case

NEWER = ("1.35", "1.36", "1.37")


@every_case
@pytest.mark.parametrize("version", NEWER)
def test_kubernetes_takes_every_manifest(values: dict[str, Any], version: str) -> None:
    for manifest in manifests(values):
        if manifest["kind"] not in CUSTOM:
            kubernetes_validate.validate(manifest, version, strict=True)

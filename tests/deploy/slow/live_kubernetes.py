"""Every case of the chart against every version of Kubernetes that it takes."""

from __future__ import annotations

from typing import Any

import kubernetes_validate
import pytest

from tests.deploy.chart import manifests
from tests.deploy.test_chart import CUSTOM, every_case

VERSIONS = ("1.34", "1.35", "1.36", "1.37")


@every_case
@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_every_manifest(values: dict[str, Any], version: str) -> None:
    for manifest in manifests(values):
        if manifest["kind"] not in CUSTOM:
            kubernetes_validate.validate(manifest, version, strict=True)

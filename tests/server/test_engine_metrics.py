"""The engine's metrics that the docs name exist in every version that we run."""

from __future__ import annotations

import pytest

from server import engine_metrics
from tests.engine_metrics import VERSIONS, golden
from tests.server.conftest import DOCS


@pytest.mark.parametrize("version", VERSIONS)
def test_named_metrics_exist(version: str) -> None:
    names = {line.split(" ")[0] for line in golden(version).read_text().splitlines()}
    assert set(engine_metrics.ENGINE_METRICS) <= names


def test_docs_list_them() -> None:
    assert engine_metrics.table() in (DOCS / "metrics.md").read_text()

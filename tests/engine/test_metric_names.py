"""The names of a live vLLM 0.32's metrics."""

from __future__ import annotations

import httpx

from tests.engine.conftest import Engine
from tests.engine_metrics import assert_golden


def test_metric_names(spec_engine: Engine) -> None:
    assert_golden("0.32", httpx.get(f"{spec_engine.base_url}/metrics", trust_env=False).text)

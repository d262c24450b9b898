"""The names of a live vLLM 0.16's metrics."""

from __future__ import annotations

import httpx

from tests.engine_metrics import assert_golden
from tests.plugin.vllm16.engine import Engine


def test_metric_names(engine: Engine) -> None:
    assert_golden("0.16", httpx.get(f"{engine.base_url}/metrics", trust_env=False).text)

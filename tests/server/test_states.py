"""Health, models and metrics in every state of the engine."""

from __future__ import annotations

from typing import get_args

import pytest

from server.engine_status import EngineState, EngineStatus
from server.errors import Code
from server.metrics import Metrics
from tests.server.conftest import CHAT, DOCS, Running, chat, documented
from tests.server.fake_engine import FakeEngine


@pytest.mark.anyio
@pytest.mark.parametrize("state", ["starting", "restarting", "failed", "stopped"])
async def test_not_ready(gateway: Running, engine: FakeEngine, state: EngineState) -> None:
    gateway.view.status = EngineStatus(state, restarts=2, reason="it ended with code 3")
    ready = await gateway.http.get("/health/ready")
    assert ready.status_code == 503
    assert ready.headers["retry-after"] == "12"
    assert ready.json()["status"] == state
    replica = ready.json()["pools"]["speculative"]["replicas"]["engine"]
    assert replica["crash_loop"] == (state == "failed")
    assert replica["reason"] == "it ended with code 3"
    for answer in (
        await gateway.http.post(CHAT, json=chat()),
        await gateway.http.get("/v1/models"),
    ):
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "12"
        assert answer.json()["error"]["code"] == f"engine_{state}"
    assert engine.wires == []
    live = await gateway.http.get("/health/live")
    assert live.status_code == (503 if state == "failed" else 200)


@pytest.mark.anyio
async def test_draining_is_red_and_refuses(gateway: Running) -> None:
    gateway.gateway.admission.draining = True
    assert (await gateway.http.get("/health/ready")).json()["status"] == "draining"
    answer = await gateway.http.post(CHAT, json=chat())
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "shutting_down"
    assert (await gateway.http.get("/health/live")).status_code == 200


@pytest.mark.anyio
async def test_ready_is_green(gateway: Running) -> None:
    assert (await gateway.http.get("/health/ready")).status_code == 200


@pytest.mark.anyio
async def test_models_show_no_paths(gateway: Running) -> None:
    (model,) = (await gateway.http.get("/v1/models")).json()["data"]
    assert model == {"id": "fake", "object": "model", "created": 1, "owned_by": "x"}
    assert (await gateway.http.get("/v1/models/fake")).json() == model
    missing = await gateway.http.get("/v1/models/other/model")
    assert missing.status_code == 404
    assert missing.json()["error"]["code"] == "model_not_found"


def test_docs_list_every_metric() -> None:
    assert Metrics().table.render() in (DOCS / "metrics.md").read_text()


def test_docs_list_every_code() -> None:
    assert set(documented()) == set(get_args(Code))


@pytest.mark.anyio
@pytest.mark.parametrize(
    "models", [[], None, {}, {"data": []}, {"data": [7]}, {"data": [{"id": None}]}, {"data": "x"}]
)
async def test_an_engine_that_lists_no_models_is_503(
    gateway: Running, engine: FakeEngine, models: object
) -> None:
    engine.models = models
    answer = await gateway.http.get("/v1/models")
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "engine_unavailable"


def test_crash_loop_is_a_metric() -> None:
    metrics = Metrics()
    metrics.fleet.engine_changed("a", EngineStatus("failed", restarts=4))
    sample = metrics.table.registry.get_sample_value
    assert sample("specserve_engine_crash_loop", {"replica": "a"}) == 1
    assert sample("specserve_engine_state", {"replica": "a", "state": "failed"}) == 1
    assert sample("specserve_engine_state", {"replica": "a", "state": "ready"}) == 0
    assert sample("specserve_engine_restarts_total", {"replica": "a"}) == 4
    metrics.fleet.engine_changed("a", EngineStatus("failed", restarts=5))
    assert sample("specserve_engine_restarts_total", {"replica": "a"}) == 5

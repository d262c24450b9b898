"""Which pool a request goes to, and what the engine and the client are told of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from server.app import Limits
from server.config.sections import SpeculationConfig
from server.engine_status import EngineState, EngineStatus
from tests.server.conftest import CHAT, chat
from tests.server.fake_engine import MODEL, FakeWire, text_chunk
from tests.server.pools import Pools, fleet_of

pytestmark = pytest.mark.anyio
HEADER = "x-specserve-speculation"


@pytest.fixture
async def both() -> AsyncIterator[Pools]:
    async with fleet_of({"spec": "speculative", "plain": "plain"}) as served:
        yield served


@pytest.mark.parametrize(
    ("mode", "pool", "replica"),
    [
        ("on", "speculative", "spec"),
        ("off", "plain", "plain"),
        ("auto", "speculative", "spec"),
        (None, "speculative", "spec"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_asked_by_field_or_header(
    both: Pools, mode: str | None, pool: str, replica: str, *, stream: bool
) -> None:
    headers = {} if mode is None else {HEADER: mode}
    body = {} if mode is None else {"speculation": mode}
    for how in (
        await both.http.post(CHAT, json=chat(stream=stream, **body)),
        await both.http.post(CHAT, json=chat(stream=stream), headers=headers),
        await both.http.post(CHAT, json=chat(stream=stream, **body), headers=headers),
    ):
        assert how.status_code == 200
        assert how.headers["x-specserve-pool"] == pool
        assert how.headers["x-specserve-replica"] == replica
    assert both[replica].asked == 3
    # No engine knows the field.
    assert all("speculation" not in wire.json for wire in both[replica].engine.wires)
    assert all(wire.json["messages"] for wire in both[replica].engine.wires)


@pytest.mark.parametrize(
    ("body", "header"),
    [({"speculation": "yes"}, None), ({"speculation": True}, None), ({}, "yes"), ({}, "On")],
)
async def test_another_word_is_refused(
    both: Pools, body: dict[str, Any], header: str | None
) -> None:
    answer = await both.http.post(
        CHAT, json=chat(**body), headers={} if header is None else {HEADER: header}
    )
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, "speculation")
    assert "auto, on, off" in error["message"]


async def test_field_and_header_must_agree(both: Pools) -> None:
    answer = await both.http.post(CHAT, json=chat(speculation="on"), headers={HEADER: "off"})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "speculation"


@pytest.mark.parametrize(("mode", "pool"), [("on", "speculative"), ("off", "plain")])
async def test_a_pool_that_is_not_there(mode: str, pool: str) -> None:
    names: dict[str, Any] = {"only": "plain" if mode == "on" else "speculative"}
    async with fleet_of(names) as served:
        answer = await served.http.post(CHAT, json=chat(speculation=mode))
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (400, "unsupported_value")
        assert f"no {pool} pool" in error["message"]
        assert (await served.http.post(CHAT, json=chat(speculation="auto"))).status_code == 200


@pytest.mark.parametrize("state", ["starting", "restarting", "failed"])
async def test_a_pool_that_is_not_ready(both: Pools, state: EngineState) -> None:
    both["spec"].view.status = EngineStatus(state)
    auto = await both.http.post(CHAT, json=chat())
    assert auto.headers["x-specserve-pool"] == "plain"
    asked = await both.http.post(CHAT, json=chat(speculation="on"))
    assert asked.status_code == 503
    assert asked.json()["error"]["code"] == f"engine_{state}"
    assert asked.headers["retry-after"] == "12"
    ready = await both.http.get("/health/ready")
    assert ready.status_code == 200
    described = ready.json()["pools"]
    assert (described["speculative"]["ready"], described["plain"]["ready"]) == (0, 1)
    assert described["speculative"]["replicas"]["spec"]["state"] == state
    assert (await both.http.get("/health/live")).status_code == 200


async def test_the_most_hopeful_replica_answers_where_none_is_ready(both: Pools) -> None:
    both["spec"].view.status = EngineStatus("failed")
    both["plain"].view.status = EngineStatus("restarting")
    ready = await both.http.get("/health/ready")
    assert (ready.status_code, ready.json()["status"]) == (503, "restarting")
    both["plain"].view.status = EngineStatus("failed")
    assert (await both.http.get("/health/live")).json()["status"] == "failed"


@pytest.mark.parametrize(("default", "pool"), [("on", "speculative"), ("off", "plain")])
async def test_what_auto_means_is_configured(default: Any, pool: str) -> None:  # noqa: ANN401
    limits = Limits(speculation=SpeculationConfig(default=default))
    async with fleet_of({"spec": "speculative", "plain": "plain"}, limits) as served:
        answer = await served.http.post(CHAT, json=chat())
        assert answer.headers["x-specserve-pool"] == pool
        shown = (await served.http.get("/v1/speculation")).json()
        assert shown == {"policy": "fixed", "pool": pool}
        labels = f'mode="auto",pool="{pool}",reason="configured"'
        counted = f"specserve_pool_decisions_total{{{labels}}}"
        assert await served.metric(counted) == 1


async def test_why_a_pool_was_chosen_is_counted(both: Pools) -> None:
    await both.http.post(CHAT, json=chat(speculation="off"))
    both["plain"].view.status = EngineStatus("restarting")
    await both.http.post(CHAT, json=chat())
    for line in (
        'specserve_pool_decisions_total{mode="off",pool="plain",reason="asked"}',
        'specserve_pool_decisions_total{mode="auto",pool="speculative",reason="other_not_ready"}',
        'specserve_replica_answers_total{code="ok",pool="plain",replica="plain"}',
        'specserve_requests_total{code="ok",pool="speculative",route="/v1/chat/completions",'
        'status="200"}',
    ):
        assert await both.metric(line) == 1


async def test_models_are_those_of_all_ready_replicas(both: Pools) -> None:
    both["spec"].engine.models = {"data": [{"id": "a", "max_model_len": 90}, {"id": "b"}]}
    both["plain"].engine.models = {"data": [{"id": "a", "max_model_len": 100}]}
    listed = (await both.http.get("/v1/models")).json()["data"]
    assert [(one["id"], one.get("max_model_len")) for one in listed] == [("a", 100), ("b", None)]
    both["spec"].engine.models = None
    assert [one["id"] for one in (await both.http.get("/v1/models")).json()["data"]] == ["a"]
    both["plain"].view.status = EngineStatus("restarting")
    assert (await both.http.get("/v1/models")).status_code == 503


TOO_LONG = {
    "error": {
        "message": "This model's maximum context length is 10 tokens.",
        "type": "BadRequestError",
        "param": "input_tokens",
        "code": 400,
    }
}


async def too_long(wire: FakeWire) -> None:
    await wire.respond(400, TOO_LONG)


async def test_a_context_with_no_room_for_drafts_goes_to_the_plain_pool(both: Pools) -> None:
    both["spec"].engine.script = too_long
    answer = await both.http.post(CHAT, json=chat())
    assert (answer.status_code, answer.headers["x-specserve-pool"]) == (200, "plain")
    asked = await both.http.post(CHAT, json=chat(speculation="on"))
    assert asked.json()["error"]["code"] == "context_length_exceeded"
    both["plain"].engine.script = too_long
    refused = await both.http.post(CHAT, json=chat())
    assert refused.json()["error"]["code"] == "context_length_exceeded"


async def test_outstanding_tokens_fall_as_they_come_and_end_at_zero(both: Pools) -> None:
    async def slow(wire: FakeWire) -> None:
        await wire.begin()
        for place in range(3):
            await wire.event(text_chunk(str(place)))
        await wire.gone.wait()

    both["spec"].engine.script = slow
    line = 'specserve_replica_outstanding_tokens{pool="speculative",replica="spec"}'
    body = json.dumps(chat(stream=True, max_tokens=100))
    async with both.http.stream(
        "POST", CHAT, content=body, headers={"content-type": "application/json"}
    ) as answer:
        text = answer.aiter_text()
        while "2" not in await anext(text):
            pass
        assert await both.metric(line) == 97
        assert await both.metric(line.replace("outstanding_tokens", "requests_running")) == 1
    await both["spec"].replica.wait_idle()
    assert await both.metric(line) == 0
    assert MODEL in body

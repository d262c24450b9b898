"""Faults of an engine on real sockets: what the client sees, what is counted, what is left."""

from __future__ import annotations

import json

import pytest

from tests.server.conftest import CHAT, DOCS, Running, chat, running
from tests.server.fake_engine import FakeEngine
from tests.server.faults.cases import FAULTS, Fault, table
from tests.server.test_streaming import datas


def unused_url() -> str:
    # Port 1 (tcpmux) has no server on any machine of ours.
    return "http://127.0.0.1:1"


@pytest.mark.anyio
@pytest.mark.parametrize("fault", FAULTS, ids=[f"{one.kind}: {one.name}" for one in FAULTS])
async def test_a_fault_is_told_and_counted(engine: FakeEngine, fault: Fault) -> None:
    if fault.script is not None:
        engine.script = fault.script
    url = unused_url() if fault.script is None else engine.url
    async with running(url, timeouts=fault.timeouts) as gateway:
        answer = await gateway.http.post(CHAT, json=chat(stream=fault.kind == "stream"))
        assert answer.status_code == fault.status
        assert _code(answer.text, begun=fault.begun) == fault.code
        assert _retry_is_told(answer.headers.get("retry-after"), answer.status_code)
        await _counted_once(gateway, fault)
        await gateway.until_idle()


def _code(text: str, *, begun: bool) -> object:
    if not begun:
        return json.loads(text)["error"]["code"]
    *before, last = datas(text)
    assert "begun" in before[0]
    return None if last == "[DONE]" else json.loads(last)["error"]["code"]


def _retry_is_told(retry_after: str | None, status: int) -> bool:
    return (retry_after is not None) == (status == 503)


async def _counted_once(gateway: Running, fault: Fault) -> None:
    samples = (await gateway.http.get("/metrics")).text.splitlines()
    counted = [line for line in samples if line.startswith("specserve_requests_total{")]
    assert len(counted) == 1
    assert counted[0].endswith(" 1.0")
    for label in fault.counted.split(","):
        assert label in counted[0]


def test_docs_have_the_table() -> None:
    assert table() in (DOCS / "gateway-faults.md").read_text()

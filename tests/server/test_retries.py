"""Failures at one replica, and what the client sees of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.app import Limits
from server.config.sections import EjectionConfig, RetryConfig
from server.engine_status import EngineStatus
from server.pools.retry import RetryBudget
from server.timeouts import Timeouts
from server.usage import Pool
from tests.server.conftest import CHAT, chat
from tests.server.fake_engine import FakeWire, Script, answer_hello, text_chunk
from tests.server.pools import Fake, Pools, fleet_of
from tests.server.waiting import until

TWO: dict[str, Pool] = {"a": "plain", "b": "plain"}
THREE: dict[str, Pool] = {**TWO, "c": "plain"}


async def lost(wire: FakeWire) -> None:
    wire.reset()


async def cut_off(wire: FakeWire) -> None:
    """Its headers have come, but nothing for the client."""
    await wire.begin()
    wire.reset()


async def overloaded(wire: FakeWire) -> None:
    await wire.respond(503, {"error": {"message": "full", "code": 503}}, retry_after="7")


async def credentials(wire: FakeWire) -> None:
    await wire.respond(401, {"error": {"message": "who are you"}})


async def elsewhere(wire: FakeWire) -> None:
    await wire.respond(302, {}, location="http://x/")


async def broken(wire: FakeWire) -> None:
    await wire.respond(500, {"error": {"message": "boom", "code": 500}})


async def bad_request(wire: FakeWire) -> None:
    await wire.respond(400, {"error": {"message": "no", "code": 400}})


def first_is(pools: Pools, script: Script) -> tuple[Fake, Callable[[], int]]:
    """Makes the replica that gets the first request fail; also says how many asked the others."""
    fakes = sorted(pools.fakes.values(), key=lambda one: one.replica.name)
    state: dict[str, Fake] = {}

    def of(fake: Fake) -> Script:
        async def once(wire: FakeWire) -> None:
            if state.setdefault("first", fake) is fake:
                await script(wire)
            else:
                await answer_hello(wire)

        return once

    for fake in fakes:
        fake.engine.script = of(fake)
    return fakes[0], lambda: sum(one.asked for one in fakes) - state["first"].asked


@pytest.mark.anyio
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("script", "code"),
    [
        (lost, "engine_lost"),
        (cut_off, "engine_lost"),
        (overloaded, "engine_overloaded"),
        (credentials, "engine_refused"),
        (elsewhere, "engine_unexpected"),
    ],
)
async def test_another_replica_answers(script: Script, code: str, *, stream: bool) -> None:
    async with fleet_of(TWO) as served:
        _, others = first_is(served, script)
        answer = await served.http.post(CHAT, json=chat(stream=stream))
        assert answer.status_code == 200
        assert "lo" in answer.text
        assert others() == 1
        assert await served.metric(f'specserve_retries_total{{code="{code}",pool="plain"}}') == 1
        assert await served.metric('specserve_requests_total{code="ok"') == 1


@pytest.mark.anyio
@pytest.mark.parametrize(("script", "status"), [(broken, 500), (bad_request, 400)])
async def test_what_another_replica_would_not_mend_is_the_answer(
    script: Script, status: int
) -> None:
    async with fleet_of(TWO) as served:
        _, others = first_is(served, script)
        assert (await served.http.post(CHAT, json=chat())).status_code == status
        assert others() == 0


@pytest.mark.anyio
async def test_a_replica_that_is_too_slow_is_not_asked_again_elsewhere() -> None:
    async def silent(wire: FakeWire) -> None:
        await wire.gone.wait()

    async with fleet_of(TWO, Limits(timeouts=Timeouts(first_token=0.2))) as served:
        _, others = first_is(served, silent)
        answer = await served.http.post(CHAT, json=chat(stream=True))
        assert answer.json()["error"]["code"] == "timeout_first_token"
        assert others() == 0


@pytest.mark.anyio
async def test_nothing_is_retried_once_the_client_has_something() -> None:
    async def breaks(wire: FakeWire) -> None:
        await wire.begin()
        await wire.event(text_chunk("hel"))
        wire.reset()

    async with fleet_of(TWO) as served:
        _, others = first_is(served, breaks)
        answer = await served.http.post(CHAT, json=chat(stream=True))
        events = answer.text.strip().split("\n\n")
        assert "hel" in events[0]
        assert json.loads(events[-1].removeprefix("data: "))["error"]["code"] == "engine_lost"
        assert others() == 0


@pytest.mark.anyio
async def test_what_came_with_the_news_of_its_end_is_forgotten() -> None:
    async def dies_at_once(wire: FakeWire) -> None:
        events: list[object] = [
            text_chunk("never seen"),
            {"error": {"message": "EngineCore encountered an issue", "code": 500}},
        ]
        data = b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in events)
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
        await wire.raw(head + b"content-length: %d\r\n\r\n" % len(data) + data)

    async with fleet_of(TWO) as served:
        _, others = first_is(served, dies_at_once)
        answer = await served.http.post(CHAT, json=chat(stream=True))
        assert others() == 1
        assert "never seen" not in answer.text
        assert answer.text.endswith("data: [DONE]\n\n")


@pytest.mark.anyio
async def test_a_request_under_which_two_engines_are_lost_is_not_sent_to_a_third() -> None:
    async with fleet_of(THREE) as served:
        for fake in served.fakes.values():
            fake.engine.script = lost
        answer = await served.http.post(CHAT, json=chat())
        assert answer.json()["error"]["code"] == "engine_lost"
        assert sum(fake.asked for fake in served.fakes.values()) == 2


@pytest.mark.anyio
async def test_retries_that_add_load_are_bounded() -> None:
    limits = Limits(retry=RetryConfig(share=0.0, min_retries=2))
    async with fleet_of(THREE, limits) as served:
        for fake in served.fakes.values():
            fake.engine.script = overloaded
        for _ in range(10):
            answer = await served.http.post(CHAT, json=chat())
            assert answer.json()["error"]["code"] == "engine_overloaded"
            assert answer.headers["retry-after"] == "7"
        assert sum(fake.asked for fake in served.fakes.values()) == 10 + 2
        assert await served.metric("specserve_retries_over_budget_total") > 0


@pytest.mark.anyio
async def test_no_retry_at_all_may_be_wished() -> None:
    async with fleet_of(TWO, Limits(retry=RetryConfig(max_retries=0))) as served:
        _, others = first_is(served, lost)
        assert (await served.http.post(CHAT, json=chat())).status_code == 503
        assert others() == 0


@pytest.mark.anyio
async def test_the_other_pool_is_the_last_resort_of_auto_only() -> None:
    names: dict[str, Pool] = {"s": "speculative", "p": "plain"}
    async with fleet_of(names) as served:
        served["s"].engine.script = lost
        auto = await served.http.post(CHAT, json=chat())
        assert (auto.status_code, auto.headers["x-specserve-pool"]) == (200, "plain")
        asked = await served.http.post(CHAT, json=chat(speculation="on"))
        assert asked.json()["error"]["code"] == "engine_lost"
        assert asked.headers["x-specserve-replica"] == "s"


@pytest.mark.anyio
async def test_a_pool_of_which_all_are_ejected_is_passed_over_in_auto() -> None:
    names: dict[str, Pool] = {"s": "speculative", "p": "plain"}
    async with fleet_of(names, Limits(ejection=EjectionConfig(errors=2))) as served:
        served["s"].engine.script = broken
        for status in (500, 500, 200, 200):
            assert (await served.http.post(CHAT, json=chat())).status_code == status
        assert served["s"].asked == 2
        # Who asks for it still gets it: there is no other.
        asked = await served.http.post(CHAT, json=chat(speculation="on"))
        assert (asked.status_code, served["s"].asked) == (500, 3)


@pytest.mark.anyio
async def test_a_replica_that_keeps_failing_is_ejected_and_probed() -> None:
    limits = Limits(ejection=EjectionConfig(errors=3, seconds=0.3))
    async with fleet_of(TWO, limits) as served:
        bad = served["a"]
        bad.engine.script = lost
        for place in range(40):
            asked = chat(messages=[{"role": "user", "content": str(place)}])
            assert (await served.http.post(CHAT, json=asked)).status_code == 200
            if bad.asked == 3:
                break
        line = 'specserve_ejections_total{reason="errors",replica="a"}'
        assert await served.metric(line) == 1
        assert await served.metric('specserve_replica_ejected{pool="plain",replica="a"}') == 1
        described = (await served.http.get("/health/ready")).json()["pools"]["plain"]
        assert described["replicas"]["a"]["ejected"]
        bad.engine.script = answer_hello
        await until(lambda: bad.replica.record.out_until is None or _half_open(served, bad))
        place = 100
        while bad.replica.record.out_until is not None:
            place += 1
            asked = chat(messages=[{"role": "user", "content": str(place)}])
            assert (await served.http.post(CHAT, json=asked)).status_code == 200
        assert bad.asked >= 4


def _half_open(served: Pools, fake: Fake) -> bool:
    ejector = served.gateway.dispatcher.ejector
    return ejector.standing(fake.replica.record) == "half-open"


@pytest.mark.anyio
async def test_a_client_that_leaves_is_no_failure_and_no_retry() -> None:
    async def silent(wire: FakeWire) -> None:
        await wire.gone.wait()

    async with fleet_of(TWO) as served:
        _, others = first_is(served, silent)
        with anyio.move_on_after(0.5):
            await served.http.post(CHAT, json=chat(stream=True))
        await served.gateway.admission.wait_idle()
        assert others() == 0
        assert all(fake.replica.running == 0 for fake in served.fakes.values())
        assert all(fake.replica.outstanding == 0 for fake in served.fakes.values())
        assert all(fake.replica.record.failures == 0 for fake in served.fakes.values())


@pytest.mark.anyio
async def test_one_total_deadline_for_all_tries() -> None:
    async def late(wire: FakeWire) -> None:
        with anyio.move_on_after(0.3):
            await wire.gone.wait()
        wire.reset()

    async with fleet_of(THREE, Limits(timeouts=Timeouts(total=0.5))) as served:
        for fake in served.fakes.values():
            fake.engine.script = late
        answer = await served.http.post(CHAT, json=chat())
        assert answer.json()["error"]["code"] == "timeout_total"


@pytest.mark.anyio
async def test_a_replica_that_stops_being_ready_is_not_tried() -> None:
    async with fleet_of(TWO) as served:

        async def dies(wire: FakeWire) -> None:
            for fake in served.fakes.values():
                fake.view.status = EngineStatus("restarting")
            wire.reset()

        for fake in served.fakes.values():
            fake.engine.script = dies
        answer: Any = await served.http.post(CHAT, json=chat())
        assert answer.json()["error"]["code"] == "engine_lost"
        assert sum(fake.asked for fake in served.fakes.values()) == 1


@given(
    st.floats(0, 1),
    st.integers(0, 5),
    st.lists(st.tuples(st.booleans(), st.floats(0, 3)), max_size=300),
)
def test_the_budget_holds_over_any_history(
    share: float, free: int, steps: list[tuple[bool, float]]
) -> None:
    now = [0.0]
    budget = RetryBudget(RetryConfig(share=share, min_retries=free), lambda: now[0])
    requests = retries = 0.0
    for wants, passed in steps:
        now[0] += passed
        faded = 0.5 ** (passed / budget.half_life_s)
        requests, retries = requests * faded + 1, retries * faded
        budget.request()
        if wants and budget.take():
            retries += 1
        assert retries <= free + share * requests + 1e-6

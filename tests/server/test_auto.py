"""The gateway in `auto`: what it tells the policy, and that it does what the policy says."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from server.app import Limits
from server.config.sections import SpeculationConfig
from server.speculation import Answered, AutoPolicy, classify
from server.usage import POOLS, Pool
from tests.server.conftest import CHAT, chat, running
from tests.server.fake_engine import FakeEngine, FakeWire, answer_with
from tests.server.key_examples import bearer, entry, ring
from tests.server.pools import Pools, fleet_of

pytestmark = pytest.mark.anyio
MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]


@pytest.fixture
def policy() -> AutoPolicy:
    return AutoPolicy(clock=lambda: 0.0, rng=random.Random(1))


@pytest.fixture
async def auto(policy: AutoPolicy) -> AsyncIterator[Pools]:
    async with fleet_of({"spec": "speculative", "plain": "plain"}, policy=policy) as served:
        yield served


def teach(policy: AutoPolicy, body: dict[str, Any], faster: Pool) -> None:
    for _ in range(30):
        for pool in POOLS:
            took = Answered(pool, pool, 100, 1.0 if pool == faster else 4.0, 0.0)
            policy.observed(classify(body, key_id=None), took)


async def learnt(served: Pools, name: str) -> dict[str, Any]:
    document = (await served.http.get("/v1/speculation")).json()
    found: dict[str, Any] = next(one for one in document["classes"] if one["class"] == name)
    return found


async def test_each_class_goes_to_the_pool_that_is_faster_for_it(
    auto: Pools, policy: AutoPolicy
) -> None:
    for fake in auto.fakes.values():
        fake.engine.script = answer_with("[]")
    teach(policy, chat(), "plain")
    teach(policy, chat(messages=MESSAGES), "speculative")
    went = {"text": 0, "system": 0}
    for _ in range(20):
        text = await auto.http.post(CHAT, json=chat())
        system = await auto.http.post(CHAT, json=chat(messages=MESSAGES))
        went["text"] += text.headers["x-specserve-pool"] == "plain"
        went["system"] += system.headers["x-specserve-pool"] == "speculative"
    assert went["text"] >= 18
    assert went["system"] >= 18
    line = 'specserve_pool_decisions_total{mode="auto",pool="plain",reason="measured"}'
    assert await auto.metric(line) >= 18


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_was_asked_of_a_pool_is_evidence_too(
    auto: Pools, *, stream: bool
) -> None:
    for mode, times in (("on", 3), ("off", 2)):
        for _ in range(times):
            await auto.http.post(CHAT, json=chat(stream=stream, speculation=mode))
    text = await learnt(auto, "text")
    assert (text["speculative"]["samples"], text["plain"]["samples"]) == (3, 2)
    assert text["plain"]["seconds_per_token"]["value"] > 0
    assert text["requests"] == 0


async def test_only_whole_answers_to_one_choice_are_evidence(auto: Pools) -> None:
    async def broken(wire: FakeWire) -> None:
        await wire.respond(500, {"error": {"message": "no", "type": "x", "code": 500}})

    await auto.http.post(CHAT, json=chat(n=2, speculation="on"))
    auto["plain"].engine.script = broken
    await auto.http.post(CHAT, json=chat(n=2, speculation="off"))
    await auto.http.post(CHAT, json=chat(speculation="on"))
    text = await learnt(auto, "text")
    assert (text["speculative"]["samples"], text["plain"]["samples"]) == (1, 0)


async def test_what_generates_nothing_is_no_traffic(auto: Pools, policy: AutoPolicy) -> None:
    for _ in range(5):
        await auto.http.post("/tokenize", json=chat())
    assert policy.snapshot()["requests"] == 0
    line = 'specserve_pool_decisions_total{mode="auto",pool="plain",reason="load"}'
    assert await auto.metric(line) == 5


async def test_a_class_knows_its_api_key(engine: FakeEngine) -> None:
    async with running(engine.url, keys=ring(entry("app"))) as served:
        await served.http.post(CHAT, json=chat(), headers=bearer("app"))
        document = (await served.http.get("/v1/speculation", headers=bearer("admin"))).json()
        assert document["policy"] == "auto"
        assert {one["class"] for one in document["classes"]} == {"all", "text", "text@app"}


async def test_a_reload_keeps_what_was_learnt_as_long_as_it_is_auto(
    auto: Pools, policy: AutoPolicy
) -> None:
    gateway, limits = auto.gateway, Limits()
    gateway.limit(replace(limits, max_in_flight=3))
    assert gateway.dispatcher.policy is policy
    gateway.limit(replace(limits, speculation=SpeculationConfig(default="off")))
    assert (await auto.http.get("/v1/speculation")).json() == {"policy": "fixed", "pool": "plain"}
    gateway.limit(limits)
    assert isinstance(gateway.dispatcher.policy, AutoPolicy)

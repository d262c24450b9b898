"""Replicas that come and go while requests run, without a gap between."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import httpx
import pytest
from pydantic import HttpUrl

from server.config.plans import Plan
from server.config.sections import ReplicaConfig
from server.engine_status import EngineState, EngineStatus
from server.metrics import Metrics
from server.pools.ask import Ask
from server.pools.fleet import Fleet
from server.pools.replica import Replica
from server.relay import Relay
from server.speculation import TrafficClass
from server.timeouts import Timeouts
from server.upstream_http import http_upstream
from server.usage import Pool
from tests.server.waiting import WAIT_S

pytestmark = pytest.mark.anyio
ASK = Ask(
    mode="auto",
    needs={},
    traffic=TrafficClass.of("text"),
    prefix=b"",
    prompt_tokens=1,
    max_tokens=1,
)


@dataclass
class FakeKept:
    """An engine that runs until it is ended, and says so."""

    fleet: Fleet
    status: EngineStatus = field(default_factory=EngineStatus)
    retry_after_s: float = 1.0
    ended: anyio.Event = field(default_factory=anyio.Event)

    def becomes(self, state: EngineState) -> None:
        self.status = EngineStatus(state)
        self.fleet.changed()

    async def run(self) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            self.ended.set()


@asynccontextmanager
async def opened(fleet: Fleet, name: str, pool: Pool = "plain") -> AsyncIterator[Replica]:
    url = "http://127.0.0.1:1"
    config = ReplicaConfig(name=name, pool=pool, url=HttpUrl(url))
    engine, metrics = FakeKept(fleet), Metrics()
    async with http_upstream(url, connect_s=1.0) as upstream, httpx.AsyncClient() as client:
        relay = Relay(upstream, engine, pool, Timeouts(), metrics.of(pool), lambda: 0.0)
        yield Replica(Plan(config, None, None), engine, relay, client)


def engine_of(replica: Replica) -> FakeKept:
    assert isinstance(replica.engine, FakeKept)
    return replica.engine


async def settled() -> None:
    for _ in range(5):
        await anyio.lowlevel.checkpoint()


@asynccontextmanager
async def replaced(
    names: tuple[str, ...], by: tuple[str, ...]
) -> AsyncIterator[tuple[Fleet, list[Replica], list[Replica]]]:
    """Ready replicas that are being replaced by ones that are still starting."""
    fleet = Fleet()
    async with anyio.create_task_group() as tasks:
        await fleet.start(tasks, [opened(fleet, name) for name in names])
        old = list(fleet.replicas)
        for one in old:
            engine_of(one).becomes("ready")
        gone = await fleet.start(tasks, [opened(fleet, name) for name in by])
        assert list(gone) == old
        for one in gone:
            tasks.start_soon(fleet.retire, one, WAIT_S)
        await settled()
        yield fleet, old, [one for one in fleet.replicas if one not in old]
        tasks.cancel_scope.cancel()


async def test_the_old_serve_until_a_new_one_is_ready() -> None:
    async with replaced(("a", "b"), ("c", "d")) as (fleet, old, new):
        assert [one.ready for one in old] == [True, True]
        engine_of(new[0]).becomes("failed")
        await settled()
        assert all(one.ready for one in old)
        engine_of(new[1]).becomes("ready")
        for one in old:
            await engine_of(one).ended.wait()
        await settled()
        assert [one.name for one in fleet.replicas] == ["c", "d"]


async def test_who_has_no_successor_goes_at_once() -> None:
    async with replaced(("a",), ()) as (fleet, old, _):
        with anyio.fail_after(WAIT_S):
            await engine_of(old[0]).ended.wait()
        await settled()
        assert fleet.replicas == ()


async def test_a_request_outlives_its_replica_s_place() -> None:
    async with replaced(("a",), ("b",)) as (_, old, new):
        with old[0].lease(ASK, lambda: 0.0):
            engine_of(new[0]).becomes("ready")
            await settled()
            assert not old[0].ready
            assert not engine_of(old[0]).ended.is_set()
        with anyio.fail_after(WAIT_S):
            await engine_of(old[0]).ended.wait()


async def test_the_drain_has_an_end() -> None:
    fleet = Fleet()
    async with anyio.create_task_group() as tasks:
        await fleet.start(tasks, [opened(fleet, "a")])
        (old,) = fleet.replicas
        await fleet.start(tasks, [])
        with old.lease(ASK, lambda: 0.0), anyio.fail_after(WAIT_S):
            await fleet.retire(old, 0.0)
            await engine_of(old).ended.wait()
        await settled()
        assert fleet.replicas == ()


async def test_who_stays_is_the_same_with_its_load() -> None:
    fleet = Fleet()
    async with anyio.create_task_group() as tasks:
        await fleet.start(tasks, [opened(fleet, "a"), opened(fleet, "b")])
        first, second = fleet.replicas
        with first.lease(ASK, lambda: 0.0):
            gone = await fleet.start(tasks, [opened(fleet, "c")], (first,))
            assert gone == (second,)
            assert fleet.replicas[0] is first
            assert (first.running, first.outstanding) == (1, 2)
        assert (first.running, first.outstanding) == (0, 0)
        tasks.cancel_scope.cancel()

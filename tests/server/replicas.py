"""Replicas whose state a test says, in front of engines that it runs itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import anyio
import httpx
from pydantic import HttpUrl

from neuron.stacks.capabilities import Capabilities
from server.config.plans import Plan
from server.config.sections import ReplicaConfig
from server.engine_status import EngineStatus, EngineView
from server.metrics import Metrics
from server.pools.replica import Replica
from server.relay import Relay
from server.timeouts import Timeouts
from server.upstream import Upstream
from server.usage import Pool


@dataclass
class FakeView:
    """An engine's state, as a test says it is."""

    status: EngineStatus = field(default_factory=lambda: EngineStatus("ready"))
    retry_after_s: float = 12.0


@dataclass
class Watched:
    """An engine that a test runs itself."""

    view: EngineView

    @property
    def status(self) -> EngineStatus:
        return self.view.status

    @property
    def retry_after_s(self) -> float:
        return self.view.retry_after_s

    async def run(self) -> None:
        await anyio.sleep_forever()


def replica_at(
    upstream: Upstream,
    client: httpx.AsyncClient,
    view: EngineView,
    metrics: Metrics,
    *,
    name: str = "engine",
    pool: Pool = "speculative",
    capabilities: Capabilities | None = None,
    timeouts: Timeouts | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Replica:
    config = ReplicaConfig(name=name, pool=pool, url=HttpUrl(str(client.base_url)))
    relay = Relay(upstream, view, pool, timeouts or Timeouts(), metrics.of(pool), clock)
    replica = Replica(Plan(config, None, capabilities), Watched(view), relay, client)
    metrics.fleet.replica_came(
        pool,
        name,
        lambda: replica.running,
        lambda: replica.outstanding,
        lambda: not replica.record.is_in,
    )
    return replica

"""A gateway in front of fake engines in two pools, all on real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import httpx

from neuron.stacks.capabilities import Capabilities
from server.app import Gateway, Limits, create_app
from server.metrics import Metrics
from server.pools.fleet import Fleet
from server.pools.policy import FixedPolicy, Policy
from server.pools.replica import Replica
from server.upstream_http import http_upstream
from server.usage import Pool
from tests.server.conftest import served
from tests.server.fake_engine import FakeEngine, fake_engine
from tests.server.replicas import FakeView, replica_at


@dataclass(frozen=True)
class Fake:
    """One replica, its engine and its state."""

    engine: FakeEngine
    view: FakeView
    replica: Replica

    @property
    def asked(self) -> int:
        return len(self.engine.wires)


@dataclass(frozen=True)
class Pools:
    gateway: Gateway
    http: httpx.AsyncClient
    fakes: Mapping[str, Fake]

    def __getitem__(self, name: str) -> Fake:
        return self.fakes[name]

    async def metric(self, line: str) -> float:
        """The value of the sample that starts with `line`; 0 if there is none."""
        for sample in (await self.http.get("/metrics")).text.splitlines():
            if sample.startswith(line):
                return float(sample.rsplit(" ", 1)[1])
        return 0.0


@asynccontextmanager
async def fleet_of(
    names: Mapping[str, Pool], limits: Limits | None = None, policy: Policy | None = None
) -> AsyncIterator[Pools]:
    """Replicas by name, each in its pool, of engines of which nothing is known to be lacking.

    Unless `limits` or `policy` say otherwise, `auto` is the speculative pool: nothing is tried.
    """
    named = {name: (pool, None) for name, pool in names.items()}
    async with _served(named, limits, policy) as it:
        yield it


@asynccontextmanager
async def pools(**capabilities: Capabilities | None) -> AsyncIterator[Pools]:
    """One replica for each pool that is named."""
    named: dict[str, tuple[Pool, Capabilities | None]] = {}
    for pool in ("speculative", "plain"):
        if pool in capabilities:
            named[pool] = (pool, capabilities[pool])
    async with _served(named, None, None) as it:
        yield it


@asynccontextmanager
async def _served(
    named: Mapping[str, tuple[Pool, Capabilities | None]],
    limits: Limits | None,
    policy: Policy | None,
) -> AsyncIterator[Pools]:
    metrics, limits = Metrics(), limits or Limits()
    fakes: dict[str, Fake] = {}
    async with AsyncExitStack() as stack:
        for name, (pool, capabilities) in named.items():
            engine, view = await stack.enter_async_context(fake_engine()), FakeView()
            upstream = await stack.enter_async_context(
                http_upstream(engine.url, connect_s=limits.timeouts.connect)
            )
            client = await stack.enter_async_context(
                httpx.AsyncClient(base_url=engine.url, trust_env=False)
            )
            replica = replica_at(
                upstream,
                client,
                view,
                metrics,
                name=name,
                pool=pool,
                capabilities=capabilities,
                timeouts=limits.timeouts,
            )
            fakes[name] = Fake(engine, view, replica)
        fleet = Fleet(tuple(one.replica for one in fakes.values()))
        if policy is None and limits.speculation.default == "auto":
            policy = FixedPolicy("speculative")
        gateway = create_app(fleet, metrics, limits=limits, policy=policy)
        _, _, http = await stack.enter_async_context(served(gateway))
        yield Pools(gateway, http, fakes)

"""From a plan to a replica with its connections and its engine."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path

import anyio
import httpx

from neuron.launch import Command, Endpoint, render
from neuron.pair import Pair
from neuron.startup_check import check_engine
from server.config.plans import Plan
from server.engine_status import Engine, EngineStatus
from server.engines import Check, EngineProcess, engine_client
from server.metrics import Metrics
from server.pools.fleet import Fleet
from server.pools.replica import Replica
from server.relay import Relay
from server.remote_engine import RemoteEngine, remote_client
from server.supervisor import RestartPolicy, Supervisor
from server.timeouts import Timeouts
from server.upstream_http import http_upstream


@dataclass(frozen=True)
class EngineTerms:
    """Of an engine that is started here."""

    log: Path
    stop_grace_s: float
    restarts: RestartPolicy


@dataclass(frozen=True)
class Prepared:
    """A plan of which nothing can be refused any more."""

    plan: Plan
    endpoint: Endpoint | None = None
    command: Command | None = None


@dataclass
class Builder:
    folder: Path
    """For sockets."""
    fleet: Fleet
    metrics: Metrics
    clock: Callable[[], float]
    _sockets: count[int] = field(default_factory=count)

    async def prepare(self, plans: Sequence[Plan]) -> list[Prepared]:
        """Raises what `neuron.launch.render` raises."""
        # In a thread: the bundled pair may have to be built first.
        return [await anyio.to_thread.run_sync(self._prepared, plan) for plan in plans]

    def _prepared(self, plan: Plan) -> Prepared:
        if plan.pair is None:
            return Prepared(plan)
        # A name of its own: a replica's successor may be started while it still runs.
        endpoint = Endpoint(uds=self.folder / f"{next(self._sockets)}.sock")
        return Prepared(plan, endpoint, render(plan.pair, endpoint, plain=plan.plain))

    @asynccontextmanager
    async def opened(
        self, prepared: Prepared, terms: EngineTerms, timeouts: Timeouts
    ) -> AsyncIterator[Replica]:
        """The replica's connections; its engine is not started yet."""
        plan = prepared.plan
        config, metrics = plan.config, self.metrics
        said: list[str] = []

        def announce(status: EngineStatus) -> None:
            if not replica.retiring:
                metrics.fleet.engine_changed(config.name, status)
            self.fleet.changed()
            if said[-1:] != [status.state]:
                said[:] = [status.state]
                replica.starts += status.state == "ready"
                sys.stderr.write(f"{config.name}: {status.state}\n")

        lacks = frozenset(plan.capabilities.lacks if plan.capabilities else ())
        check: Check = partial(check_engine, lacks=lacks)
        if prepared.command is not None:
            sys.stderr.write(f"{config.name}: starting; its log is {terms.log}\n")
        url, uds = _place(prepared)
        async with (
            _client(url, uds) as client,
            http_upstream(url, uds=uds, connect_s=timeouts.connect) as upstream,
        ):
            engine: Engine
            if prepared.command is None or prepared.endpoint is None or plan.pair is None:
                engine = RemoteEngine(client, announce, check, name=config.name)
            else:
                spawn = _spawner(prepared.command, prepared.endpoint, plan.pair, check, terms)
                engine = Supervisor(spawn, announce, terms.restarts, name=config.name)
            relay = Relay(
                upstream, engine, config.pool, timeouts, metrics.of(config.pool), self.clock
            )
            replica = Replica(plan, engine, relay, client)
            metrics.fleet.replica_came(
                config.pool,
                config.name,
                lambda: replica.running,
                lambda: replica.outstanding,
                lambda: not replica.record.is_in,
            )
            yield replica

    def gone(self, replica: Replica) -> None:
        """Unless a successor has its name."""
        if all(one.name != replica.name for one in self.fleet.replicas):
            self.metrics.fleet.replica_gone(replica.pool, replica.name)


def _spawner(
    command: Command, endpoint: Endpoint, pair: Pair, check: Check, terms: EngineTerms
) -> Callable[[], EngineProcess]:
    def spawn() -> EngineProcess:
        return EngineProcess(
            command,
            endpoint,
            pair.served_model_name,
            log=terms.log,
            stop_grace_s=terms.stop_grace_s,
            check=check,
        )

    return spawn


def _place(prepared: Prepared) -> tuple[str, Path | None]:
    """Base URL and socket."""
    if prepared.endpoint is not None:
        return prepared.endpoint.base_url, prepared.endpoint.uds
    # Clients know an engine by its /v1; its health is beside that.
    return str(prepared.plan.config.url).rstrip("/").removesuffix("/v1"), None


def _client(url: str, uds: Path | None) -> httpx.AsyncClient:
    """For all but completions."""
    if uds is not None:
        return engine_client(Endpoint(uds=uds))
    return remote_client(url)

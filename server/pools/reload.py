"""The replicas and limits of the configuration: set at start, and again on every SIGHUP."""

from __future__ import annotations

import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import anyio
from anyio.abc import TaskGroup

from neuron.errors import SpecserveError
from server.app import Gateway, Limits
from server.config.plans import plan_all
from server.config.sources import SettingsError
from server.connections import require_descriptors
from server.pools.build import Builder, EngineTerms, Prepared
from server.pools.replica import Replica
from server.settings import Settings
from server.supervisor import RestartPolicy
from server.timeouts import Timeouts

FIXED = (
    "host",
    "port",
    "metrics_host",
    "metrics_port",
    "quota_store",
    "quota_store_down",
    "header_timeout",
    "max_connections",
    "drain_timeout",
    "log_dir",
    "request_log",
    "log_prompts",
    "otlp_endpoint",
)
"""What only a restart can change."""


@dataclass
class Reloader:
    gateway: Gateway
    builder: Builder
    settings: Settings
    load: Callable[[], Settings]
    """Reads the configuration again. Raises SpecserveError."""
    _log_dir: Path = field(init=False)

    def __post_init__(self) -> None:
        self._log_dir = self.settings.log_dir or Path(tempfile.mkdtemp(prefix="specserve-log-"))

    async def start(self, tasks: TaskGroup, prepared: Sequence[Prepared]) -> None:
        await self._switch(tasks, self.settings, prepared, ())

    async def on_hangups(self, signals: AsyncIterator[signal.Signals], tasks: TaskGroup) -> None:
        async for _ in signals:
            await self.reload(tasks)

    async def reload(self, tasks: TaskGroup) -> None:
        """All of the new configuration, or with one sentence on stderr all of the old one."""
        try:
            settings = self.load()
            _require_same(self.settings, settings)
            require_descriptors(settings.max_connections, settings.max_in_flight)
            plans = plan_all(settings.engines)
            running = [one for one in self.gateway.fleet.replicas if not one.retiring]
            kept = [one for one in running if one.plan in plans]
            known = [one.plan for one in kept]
            keys = await anyio.to_thread.run_sync(settings.key_source.load)
            prepared = await self.builder.prepare([plan for plan in plans if plan not in known])
        except SpecserveError as error:
            sys.stderr.write(f"config: refused, the old one stays: {error}\n")
            self.builder.metrics.fleet.reloaded("refused")
            return
        await self._switch(tasks, settings, prepared, kept)
        self.gateway.access.ring = keys
        sys.stderr.write(
            f"config: applied, {len(prepared)} replicas come and {len(running) - len(kept)} go\n"
        )
        self.builder.metrics.fleet.reloaded("applied")

    async def _switch(
        self,
        tasks: TaskGroup,
        settings: Settings,
        prepared: Sequence[Prepared],
        kept: Sequence[Replica],
    ) -> None:
        limits = limits_of(settings)
        openings = [
            self.builder.opened(one, self._terms(settings, one), limits.timeouts)
            for one in prepared
        ]
        gone = await self.gateway.fleet.start(tasks, openings, kept)
        self.gateway.limit(limits)
        self.settings = settings
        for one in gone:
            tasks.start_soon(self.gateway.fleet.retire, one, settings.drain_timeout)

    def _terms(self, settings: Settings, prepared: Prepared) -> EngineTerms:
        name = prepared.plan.config.name
        return EngineTerms(
            log=self._log_dir / log_name(name),
            stop_grace_s=settings.engine_stop_grace,
            restarts=RestartPolicy(
                max_failures=settings.engine_max_failures,
                ready_timeout_s=settings.engine_start_timeout,
            ),
        )


def log_name(replica: str) -> str:
    return f"{replica}.log"


def limits_of(settings: Settings) -> Limits:
    return Limits(
        timeouts=Timeouts(
            body=settings.body_timeout,
            queue=settings.queue_timeout,
            connect=settings.connect_timeout,
            first_token=settings.first_token_timeout,
            chunk=settings.chunk_timeout,
            write=settings.write_timeout,
            total=settings.total_timeout,
        ),
        max_in_flight=settings.max_in_flight,
        max_queued=settings.max_queued,
        max_body_bytes=settings.max_body_bytes,
        speculation=settings.speculation,
        balance=settings.balance,
        ejection=settings.ejection,
        retry=settings.retry,
    )


def _require_same(old: Settings, new: Settings) -> None:
    for name in FIXED:
        if getattr(old, name) != getattr(new, name):
            raise SettingsError(
                f"Key {name!r} cannot change while the gateway runs; put it back or restart."
            )

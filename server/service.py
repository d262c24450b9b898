"""The whole process: engines, a port, and the order in which they come and go."""

from __future__ import annotations

import gc
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager
from pathlib import Path

import anyio

from server.app import create_app, metrics_app
from server.config.plans import plan_all
from server.config.sources import PREFIX, SettingsError
from server.connections import ConnectionLimit, require_descriptors
from server.listener import bind, make_listener, url_of
from server.metrics import Metrics
from server.observing import open_observers
from server.pools.build import Builder, Prepared
from server.pools.fleet import Fleet
from server.pools.reload import Reloader, limits_of, log_name
from server.quota_store import QuotaStore, shared_storage
from server.quotas import Quotas
from server.settings import Settings
from server.shutdown import Shutdown

Load = Callable[[], Settings]
GC_ALLOCATIONS = 50_000
"""Net, between two collections; CPython's 700 come many times a second with 256 streams."""


async def serve(settings: Settings, load: Load | None = None) -> int:
    """Until a signal. With `load`, SIGHUP reads the configuration again.

    Returns the exit code; raises SpecserveError before it listens.
    """
    plans = plan_all(settings.engines)
    require_descriptors(settings.max_connections, settings.max_in_flight)
    if settings.log_dir is not None:
        _require_writable(settings.log_dir, [plan.config.name for plan in plans if plan.pair])
    with _bound(settings) as sockets:
        # In a thread: it may ask AWS.
        keys = await anyio.to_thread.run_sync(settings.key_source.load)
        with tempfile.TemporaryDirectory(prefix="specserve-") as folder:
            metrics, fleet = Metrics(), Fleet()
            builder = Builder(Path(folder), fleet, metrics, time.monotonic)
            fleet.on_gone = builder.gone
            prepared = await builder.prepare(plans)
            with closing(open_observers(settings, metrics)) as observers:
                async with _quotas(settings, metrics) as quotas:
                    gateway = create_app(
                        fleet,
                        metrics,
                        limits=limits_of(settings),
                        keys=keys,
                        quotas=quotas,
                        observers=observers,
                    )
                    reloader = Reloader(gateway, builder, settings, load or (lambda: settings))
                    with _hangups(load) as hangups:
                        return await _until_signal(reloader, prepared, sockets, hangups)


@contextmanager
def _bound(settings: Settings) -> Iterator[list[socket.socket]]:
    """The port for clients, and the one for metrics if there is one."""
    with ExitStack() as opened:
        sockets = [opened.enter_context(bind(settings.host, settings.port))]
        if settings.metrics_port is not None:
            port = bind(settings.metrics_host, settings.metrics_port, "--metrics-")
            sockets.append(opened.enter_context(port))
        yield sockets


@asynccontextmanager
async def _quotas(settings: Settings, metrics: Metrics) -> AsyncIterator[Quotas]:
    if settings.quota_store is None:
        yield Quotas()
        return
    async with shared_storage(settings.quota_store) as shared:
        on_error = metrics.quota_store_errors.inc
        yield Quotas(QuotaStore(shared, settings.quota_store_down, on_error))


async def _until_signal(
    reloader: Reloader,
    prepared: Sequence[Prepared],
    sockets: Sequence[socket.socket],
    hangups: AsyncIterator[signal.Signals] | None,
) -> int:
    gateway, settings = reloader.gateway, reloader.settings
    # A collection stops all streams: it leaves out what is there now and stays, and comes seldom.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS)
    apps = [gateway.app, metrics_app(gateway.metrics)][: len(sockets)]
    limit = ConnectionLimit(
        settings.max_connections, lambda: gateway.metrics.rejected("too_many_connections")
    )
    listeners = [
        make_listener(app, head_timeout_s=settings.header_timeout, limit=limit) for app in apps
    ]
    shutdown = Shutdown(
        gateway.admission, settings.drain_timeout, lambda: gateway.metrics.draining.set(1)
    )
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with anyio.create_task_group() as engine_tasks:
            await reloader.start(engine_tasks, prepared)
            if hangups is not None:
                engine_tasks.start_soon(reloader.on_hangups, hangups, engine_tasks)
            async with anyio.create_task_group() as port_tasks:
                for listener, bound in zip(listeners, sockets, strict=True):
                    port_tasks.start_soon(listener.serve, [bound])
                for bound, what in zip(sockets, ("listening", "metrics"), strict=False):
                    sys.stderr.write(f"{what} on {url_of(bound)}\n")
                await shutdown.on_signals(signals)
                for listener in listeners:
                    listener.should_exit = True
            engine_tasks.cancel_scope.cancel()
    return 1 if shutdown.forced else 0


@contextmanager
def _hangups(load: Load | None) -> Iterator[AsyncIterator[signal.Signals] | None]:
    """Without a file to read again, SIGHUP ends the process as it ends any other."""
    if load is None:
        yield None
        return
    with anyio.open_signal_receiver(signal.SIGHUP) as signals:
        yield signals


def _require_writable(log_dir: Path, replicas: Sequence[str]) -> None:
    try:
        log_dir.mkdir(parents=True, exist_ok=True)
        for replica in replicas:
            (log_dir / log_name(replica)).open("ab").close()
    except OSError as error:
        raise SettingsError(
            f"--log-dir ({PREFIX}LOG_DIR): no log can be written in {log_dir}: {error.strerror}."
        ) from error

"""The whole process: an engine, a port, and the order in which they come and go."""

from __future__ import annotations

import gc
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import httpx

from neuron.launch import Endpoint, render
from neuron.pair import load_pair
from server.app import Gateway, create_app, metrics_app
from server.engine_status import Engine, EngineStatus
from server.engines import HEALTH_TIMEOUT_S, EngineProcess, engine_client
from server.keys import KeyRing
from server.listener import bind, make_listener, url_of
from server.metrics import Metrics
from server.quotas import Quotas, quotas_in
from server.remote_engine import RemoteEngine
from server.settings import PREFIX, Settings, SettingsError
from server.shutdown import Shutdown
from server.supervisor import RestartPolicy, Supervisor
from server.timeouts import Timeouts
from server.upstream import Upstream
from server.upstream_http import http_upstream
from server.usage import Pool

LOG_NAME = "engine.log"


@dataclass(frozen=True)
class Backend:
    client: httpx.AsyncClient
    engine: Engine
    metrics: Metrics
    pool: Pool
    url: str
    uds: Path | None = None


async def serve(settings: Settings) -> int:
    """Until a signal. Returns the exit code; raises SpecserveError before it listens."""
    if settings.log_dir is not None:
        _require_writable(settings.log_dir)
    with _bound(settings) as sockets:
        # In a thread: it may ask AWS.
        keys = await anyio.to_thread.run_sync(settings.key_source.load)
        with tempfile.TemporaryDirectory(prefix="specserve-") as folder:
            backend = await _backend(settings, Path(folder))
            async with (
                backend.client,
                http_upstream(
                    backend.url, uds=backend.uds, connect_s=settings.connect_timeout
                ) as upstream,
                quotas_in(
                    settings.quota_store,
                    settings.quota_store_down,
                    backend.metrics.quota_store_errors.inc,
                ) as quotas,
            ):
                gateway = _gateway(settings, backend, upstream, keys, quotas)
                return await _until_signal(settings, gateway, backend, sockets)


@contextmanager
def _bound(settings: Settings) -> Iterator[list[socket.socket]]:
    """The port for clients, and the one for metrics if there is one."""
    with ExitStack() as opened:
        sockets = [opened.enter_context(bind(settings.host, settings.port))]
        if settings.metrics_port is not None:
            port = bind(settings.metrics_host, settings.metrics_port, "--metrics-")
            sockets.append(opened.enter_context(port))
        yield sockets


async def _until_signal(
    settings: Settings, gateway: Gateway, backend: Backend, sockets: list[socket.socket]
) -> int:
    # What is there now stays: no collection in the middle of a stream needs to look at it again.
    gc.collect()
    gc.freeze()
    apps = [gateway.app, metrics_app(backend.metrics)][: len(sockets)]
    listeners = [make_listener(app, head_timeout_s=settings.header_timeout) for app in apps]
    shutdown = Shutdown(
        gateway.admission, settings.drain_timeout, lambda: backend.metrics.draining.set(1)
    )
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with anyio.create_task_group() as engine_tasks:
            engine_tasks.start_soon(backend.engine.run)
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


def _require_writable(log_dir: Path) -> None:
    try:
        log_dir.mkdir(parents=True, exist_ok=True)
        (log_dir / LOG_NAME).open("ab").close()
    except OSError as error:
        raise SettingsError(
            f"--log-dir ({PREFIX}LOG_DIR): no log can be written in {log_dir}: {error.strerror}."
        ) from error


def _gateway(
    settings: Settings, backend: Backend, upstream: Upstream, keys: KeyRing, quotas: Quotas
) -> Gateway:
    return create_app(
        upstream,
        backend.client,
        backend.engine,
        pool=backend.pool,
        timeouts=Timeouts(
            body=settings.body_timeout,
            queue=settings.queue_timeout,
            connect=settings.connect_timeout,
            first_token=settings.first_token_timeout,
            chunk=settings.chunk_timeout,
            write=settings.write_timeout,
            total=settings.total_timeout,
        ),
        keys=keys,
        quotas=quotas,
        max_in_flight=settings.max_in_flight,
        max_queued=settings.max_queued,
        max_body_bytes=settings.max_body_bytes,
        metrics=backend.metrics,
    )


async def _backend(settings: Settings, folder: Path) -> Backend:
    if settings.engine_url is not None:
        return _remote(settings, str(settings.engine_url))
    pair = load_pair(settings.pair).with_models(target=settings.target, draft=settings.draft)
    plain = settings.plain or pair.draft is None
    endpoint = Endpoint(uds=folder / "engine.sock")
    # In a thread: the bundled pair may have to be built first.
    command = await anyio.to_thread.run_sync(lambda: render(pair, endpoint, plain=plain))
    log = (settings.log_dir or Path(tempfile.mkdtemp(prefix="specserve-log-"))) / LOG_NAME
    sys.stderr.write(f"engine: starting; its log is {log}\n")
    pool: Pool = "plain" if plain else "speculative"
    metrics = Metrics(pool)

    def spawn() -> EngineProcess:
        return EngineProcess(
            command,
            endpoint,
            pair.served_model_name,
            log=log,
            stop_grace_s=settings.engine_stop_grace,
        )

    policy = RestartPolicy(
        max_failures=settings.engine_max_failures, ready_timeout_s=settings.engine_start_timeout
    )
    supervisor = Supervisor(spawn, _announcer(metrics), policy)
    return Backend(
        engine_client(endpoint), supervisor, metrics, pool, endpoint.base_url, endpoint.uds
    )


def _remote(settings: Settings, url: str) -> Backend:
    pool: Pool = "plain" if settings.plain else "speculative"
    metrics = Metrics(pool)
    # Clients know an engine by its /v1; its health is beside that.
    url = url.rstrip("/").removesuffix("/v1")
    client = httpx.AsyncClient(
        base_url=url,
        limits=httpx.Limits(max_connections=None, keepalive_expiry=2.0),
        timeout=HEALTH_TIMEOUT_S,
        trust_env=False,
    )
    return Backend(client, RemoteEngine(client, _announcer(metrics)), metrics, pool, url)


def _announcer(metrics: Metrics) -> Callable[[EngineStatus], None]:
    last: list[str] = []

    def announce(status: EngineStatus) -> None:
        metrics.engine_changed(status)
        if last[-1:] != [status.state]:
            last[:] = [status.state]
            sys.stderr.write(f"engine: {status.state}\n")

    return announce

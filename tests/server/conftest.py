from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from server.app import Gateway, Limits, create_app
from server.connections import ConnectionLimit
from server.defaults import HEADER_TIMEOUT_S, MAX_CONNECTIONS
from server.keys import KeyRing
from server.listener import KEEP_ALIVE_S, Listener, bind, make_listener
from server.metrics import Metrics
from server.observed import Observers
from server.pools.fleet import Fleet
from server.quotas import Quotas
from server.timeouts import Timeouts
from server.upstream_http import http_upstream
from server.usage import Pool
from tests.server.fake_engine import MODEL, FakeEngine, fake_engine
from tests.server.replicas import FakeView, replica_at
from tests.server.waiting import WAIT_S

DOCS = Path(__file__).parents[2] / "docs"


def documented() -> dict[str, int]:
    """Every code in docs/gateway.md with its status."""
    rows = re.findall(r"^\| (\d{3}) \| (.+?) \|", (DOCS / "gateway.md").read_text(), re.MULTILINE)
    return {code: int(status) for status, codes in rows for code in re.findall(r"`(\w+)`", codes)}


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """The loop that the gateway runs on."""
    return "asyncio", {"use_uvloop": True}


@dataclass
class Running:
    gateway: Gateway
    listener: Listener
    url: str
    http: httpx.AsyncClient
    view: FakeView

    async def metric(self, line: str) -> float:
        """The value of the sample that starts with `line`; 0 if there is none."""
        for sample in (await self.http.get("/metrics")).text.splitlines():
            if sample.startswith(line):
                return float(sample.rsplit(" ", 1)[1])
        return 0.0

    async def until_idle(self) -> None:
        with anyio.fail_after(WAIT_S):
            await self.gateway.admission.wait_idle()
        assert await self.metric("specserve_requests_in_flight") == 0


@asynccontextmanager
async def running(
    upstream: str,
    *,
    pool: Pool = "speculative",
    keep_alive_s: int = KEEP_ALIVE_S,
    head_timeout_s: float = HEADER_TIMEOUT_S,
    max_connections: int = MAX_CONNECTIONS,
    keys: KeyRing | None = None,
    quotas: Quotas | None = None,
    observers: Observers | None = None,
    clock: Callable[[], float] = time.monotonic,
    **limits: Any,  # noqa: ANN401
) -> AsyncIterator[Running]:
    view, metrics = FakeView(), Metrics()
    timeouts = limits.get("timeouts", Timeouts())
    async with (
        http_upstream(upstream, connect_s=timeouts.connect) as connection,
        httpx.AsyncClient(base_url=upstream, trust_env=False) as client,
    ):
        replica = replica_at(
            connection, client, view, metrics, pool=pool, timeouts=timeouts, clock=clock
        )
        gateway = create_app(
            Fleet((replica,)),
            metrics,
            limits=Limits(**limits),
            keys=keys,
            quotas=quotas,
            observers=observers,
            clock=clock,
        )
        async with served(gateway, keep_alive_s, head_timeout_s, max_connections) as it:
            yield Running(gateway, *it, view)


@asynccontextmanager
async def served(
    gateway: Gateway,
    keep_alive_s: int = KEEP_ALIVE_S,
    head_timeout_s: float = HEADER_TIMEOUT_S,
    max_connections: int = MAX_CONNECTIONS,
) -> AsyncIterator[tuple[Listener, str, httpx.AsyncClient]]:
    listening = bind("127.0.0.1", 0)
    limit = ConnectionLimit(
        max_connections, lambda: gateway.metrics.rejected("too_many_connections")
    )
    listener = make_listener(gateway.app, keep_alive_s, head_timeout_s, limit)
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"

    async def serve() -> None:
        # Also of a test that fails: uvloop's close waits for ever for a port that is left open.
        with anyio.CancelScope(shield=True):
            await listener.serve([listening])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve)
        try:
            async with httpx.AsyncClient(base_url=url, timeout=WAIT_S, trust_env=False) as http:
                yield listener, url, http
        finally:
            listener.should_exit = True


@pytest.fixture
async def engine() -> AsyncIterator[FakeEngine]:
    async with fake_engine() as fake:
        yield fake


@pytest.fixture
async def gateway(engine: FakeEngine) -> AsyncIterator[Running]:
    async with running(engine.url) as served:
        yield served


def chat(**more: object) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], **more}


CHAT = "/v1/chat/completions"

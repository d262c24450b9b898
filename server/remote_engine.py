"""An engine that somebody else runs: watched, never started."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field

import anyio
import httpx
from pydantic import ValidationError

from neuron.errors import LaunchError
from neuron.startup_check import check_engine
from server.config.sections import ONLY_ENGINE
from server.engine_status import HEALTH_FAILURES, EngineState, EngineStatus
from server.engines import CHECK_FAILED, HEALTH_TIMEOUT_S, Check
from server.models import listed_models

UNREACHABLE_RETRY_S = 5.0


def remote_client(url: str) -> httpx.AsyncClient:
    """For all but completions. It asks for the engine's address each time.

    An engine that was taken out of DNS is to get nothing more: over a connection that is kept it
    would look well until it ends.
    """
    return httpx.AsyncClient(
        base_url=url,
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
        timeout=HEALTH_TIMEOUT_S,
        trust_env=False,
    )


@dataclass
class RemoteEngine:
    client: httpx.AsyncClient
    on_change: Callable[[EngineStatus], None]
    check: Check = check_engine
    every_s: float = 2.0
    health_failures: int = HEALTH_FAILURES
    name: str = ONLY_ENGINE
    _status: EngineStatus = field(default_factory=EngineStatus)
    _missed: int = 0
    _told: str | None = None

    @property
    def status(self) -> EngineStatus:
        return self._status

    @property
    def retry_after_s(self) -> float:
        return UNREACHABLE_RETRY_S

    async def run(self) -> None:
        try:
            while True:
                await self._look()
                await anyio.sleep(self.every_s)
        finally:
            self._set(EngineStatus("stopped"))

    async def _look(self) -> None:
        ready = self._status.state == "ready"
        try:
            if ready:
                await self._alive()
            else:
                await self.check(self.client, (await listed_models(self.client))[0].id)
        except (LaunchError, httpx.HTTPError, ValueError) as error:
            self._missed += 1
            if not ready or self._missed >= self.health_failures:
                self._lost(error)
            return
        self._missed, self._told = 0, None
        if not ready:
            self._set(EngineStatus("ready"))

    def _lost(self, error: Exception) -> None:
        reason = _reason(error)
        told = str(error) if isinstance(error, LaunchError) else reason
        if told != self._told:
            self._told = told
            sys.stderr.write(f"{self.name}: {told}\n")
        never = self._status.state == "starting"
        gone: EngineState = "starting" if never else "restarting"
        self._set(EngineStatus(gone, reason=reason))

    async def _alive(self) -> None:
        (await self.client.get("/health")).raise_for_status()

    def _set(self, status: EngineStatus) -> None:
        self._status = status
        self.on_change(status)


def _reason(error: Exception) -> str:
    if isinstance(error, LaunchError):
        return CHECK_FAILED
    if isinstance(error, httpx.HTTPStatusError):
        return f"{error.request.url.path} was answered with HTTP {error.response.status_code}"
    if isinstance(error, ValidationError):
        return "/v1/models was not answered with a list of models"
    return f"the engine cannot be reached: {type(error).__name__}"

"""An engine that somebody else runs: watched, never started."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import anyio
import httpx

from neuron.errors import LaunchError
from neuron.startup_check import check_engine
from server.engine_status import EngineState, EngineStatus
from server.engines import Check

UNREACHABLE_RETRY_S = 5.0


@dataclass
class RemoteEngine:
    client: httpx.AsyncClient
    on_change: Callable[[EngineStatus], None]
    check: Check = check_engine
    every_s: float = 2.0
    _status: EngineStatus = field(default_factory=EngineStatus)

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
        try:
            if self._status.state == "ready":
                await self._alive()
                return
            await self.check(self.client, await self._model())
        except (LaunchError, httpx.HTTPError, KeyError, IndexError, ValueError) as error:
            state = self._status.state
            gone: EngineState = "restarting" if state in ("ready", "restarting") else "starting"
            self._set(EngineStatus(gone, reason=_reason(error)))
            return
        self._set(EngineStatus("ready"))

    async def _alive(self) -> None:
        (await self.client.get("/health")).raise_for_status()

    async def _model(self) -> str:
        answer = (await self.client.get("/v1/models")).raise_for_status()
        return str(answer.json()["data"][0]["id"])

    def _set(self, status: EngineStatus) -> None:
        self._status = status
        self.on_change(status)


def _reason(error: Exception) -> str:
    if isinstance(error, LaunchError):
        return str(error)
    return f"the engine cannot be reached: {type(error).__name__}"

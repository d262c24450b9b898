"""Keeps one engine running: restarts with back-off, and gives up in a crash loop."""

from __future__ import annotations

import random
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

import anyio

from neuron.errors import LaunchError
from server import defaults
from server.config.sections import ONLY_ENGINE
from server.engine_status import HEALTH_FAILURES, EngineStatus
from server.engines import CHECK_FAILED, HEALTH_TIMEOUT_S, EngineProcess, StartError

UNKNOWN_START_S = 30.0


@dataclass(frozen=True)
class RestartPolicy:
    first_delay_s: float = 1.0
    max_delay_s: float = 60.0
    max_failures: int = defaults.ENGINE_MAX_FAILURES
    """This many engines in a row that did not last `stable_s`, and no more are started."""
    stable_s: float = 60.0
    ready_timeout_s: float = defaults.ENGINE_START_TIMEOUT_S
    health_every_s: float = 5.0
    health_timeout_s: float = HEALTH_TIMEOUT_S
    health_failures: int = HEALTH_FAILURES

    def delay_s(self, failures: int, rng: random.Random) -> float:
        full = min(self.max_delay_s, self.first_delay_s * 2.0 ** (failures - 1))
        return full * rng.uniform(0.5, 1.0)


@dataclass
class Supervisor:
    spawn: Callable[[], EngineProcess]
    on_change: Callable[[EngineStatus], None]
    policy: RestartPolicy = RestartPolicy()
    name: str = ONLY_ENGINE
    rng: random.Random = field(default_factory=random.Random)
    clock: Callable[[], float] = anyio.current_time
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    _status: EngineStatus = field(default_factory=EngineStatus)
    _failures: int = 0

    @property
    def status(self) -> EngineStatus:
        return self._status

    @property
    def retry_after_s(self) -> float:
        return self._status.start_seconds or UNKNOWN_START_S

    async def run(self) -> None:
        try:
            while self._failures < self.policy.max_failures:
                await self._one_engine()
            self._set(state="failed")
            await anyio.sleep_forever()
        finally:
            self._set(state="stopped")

    async def _one_engine(self) -> None:
        ready_since: float | None = None
        began = self.clock()
        try:
            async with self.spawn() as engine:
                self._set(log=engine.log)
                await engine.wait_ready(self.policy.ready_timeout_s)
                ready_since = self.clock()
                self._set(state="ready", reason=None, start_seconds=ready_since - began)
                reason = await self._until_lost(engine)
                told = f"{reason}; {engine.log_note()}"
                # Before the stop, which takes a while: no request may still be sent there.
                self._set(state="restarting", reason=reason)
        except LaunchError as error:
            told = str(error)
            reason = error.reason if isinstance(error, StartError) else CHECK_FAILED
        stable = ready_since is not None and self.clock() - ready_since >= self.policy.stable_s
        self._failures = 1 if stable else self._failures + 1
        sys.stderr.write(f"{self.name}: {told}\n")
        if self._failures >= self.policy.max_failures:
            self._set(state="failed", reason=reason)
            return
        delay = self.policy.delay_s(self._failures, self.rng)
        self._set(state="restarting", reason=reason, restarts=self._status.restarts + 1)
        await self.sleep(delay)

    async def _until_lost(self, engine: EngineProcess) -> str:
        """Returns why."""
        missed = 0
        while missed < self.policy.health_failures:
            with anyio.move_on_after(self.policy.health_every_s):
                return f"the engine ended with code {await engine.wait()}"
            healthy = await engine.healthy(self.policy.health_timeout_s)
            missed = 0 if healthy else missed + 1
        return f"the engine did not answer /health {missed} times in a row"

    def _set(self, **changes: object) -> None:
        self._status = replace(self._status, **changes)  # type: ignore[arg-type]
        self.on_change(self._status)

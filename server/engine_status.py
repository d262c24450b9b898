"""What the gateway knows of its engine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from server.errors import ApiError, Code, unavailable

EngineState = Literal["starting", "ready", "restarting", "failed", "stopped"]

# This many health checks missed in a row, and an engine that was ready is lost.
HEALTH_FAILURES = 3

_REFUSALS: dict[EngineState, tuple[Code, str]] = {
    "starting": ("engine_starting", "The engine is still starting."),
    "restarting": ("engine_restarting", "The engine is being restarted."),
    "failed": ("engine_failed", "The engine was lost too often; no more are started."),
    "stopped": ("engine_stopped", "The engine has been stopped."),
}


@dataclass(frozen=True)
class EngineStatus:
    state: EngineState = "starting"
    restarts: int = 0
    reason: str | None = None
    """Why the last engine is gone, fit for clients; the log's own words are on stderr only."""
    start_seconds: float | None = None
    log: Path | None = None


class EngineView(Protocol):
    @property
    def status(self) -> EngineStatus: ...

    @property
    def retry_after_s(self) -> float:
        """When a request that met no engine should come back."""
        ...


class Engine(EngineView, Protocol):
    async def run(self) -> None:
        """Keeps an engine there until cancelled, then ends what it started."""
        ...


def not_ready(engine: EngineView) -> ApiError | None:
    state = engine.status.state
    if state == "ready":
        return None
    code, text = _REFUSALS[state]
    return unavailable(code, text, retry_after_s=engine.retry_after_s)

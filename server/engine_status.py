"""What the gateway knows of its engine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from server.errors import ApiError, unavailable

EngineState = Literal["starting", "ready", "restarting", "failed", "stopped"]

_WORDS: dict[EngineState, str] = {
    "starting": "The engine is still starting.",
    "restarting": "The engine is being restarted.",
    "failed": "The engine could not be restarted.",
    "stopped": "The engine has been stopped.",
}


@dataclass(frozen=True)
class EngineStatus:
    state: EngineState = "starting"
    restarts: int = 0
    reason: str | None = None
    """Why the last engine is gone."""
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
    return unavailable(f"engine_{state}", _WORDS[state], retry_after_s=engine.retry_after_s)

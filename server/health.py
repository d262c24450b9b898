"""Live is about this process, ready about the next request."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from server.admission import DRAIN_RETRY_S, Admission
from server.engine_status import EngineView, not_ready
from server.errors import ApiError, unavailable
from server.responses import JSON


@dataclass(frozen=True)
class Health:
    engine: EngineView
    admission: Admission

    async def live(self, request: Request) -> Response:
        """Red only where a restart of this process is the way out."""
        failed = self.engine.status.state == "failed"
        return self._answer(
            "failed" if failed else "live", not_ready(self.engine) if failed else None
        )

    async def ready(self, request: Request) -> Response:
        if self.admission.draining:
            error = unavailable(
                "shutting_down", "The server is shutting down.", retry_after_s=DRAIN_RETRY_S
            )
            return self._answer("draining", error)
        return self._answer(self.engine.status.state, not_ready(self.engine))

    def _answer(self, word: str, error: ApiError | None) -> Response:
        status = self.engine.status
        body: dict[str, Any] = {
            "status": word,
            "engine": {
                "state": status.state,
                "restarts": status.restarts,
                "crash_loop": status.state == "failed",
                "reason": status.reason,
            },
        }
        if error is not None:
            body.update(error.payload())
        return Response(
            json.dumps(body),
            status_code=200 if error is None else error.status,
            headers=None if error is None else error.headers(),
            media_type=JSON,
        )

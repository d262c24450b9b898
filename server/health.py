"""Live is about this process, ready about the next request."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from server.admission import DRAIN_RETRY_S, Admission
from server.errors import ApiError, unavailable
from server.pools.ejection import Ejector
from server.pools.fleet import Fleet
from server.pools.replica import Replica
from server.pools.servable import none_ready
from server.responses import JSON
from server.usage import POOLS


@dataclass(frozen=True)
class Health:
    fleet: Fleet
    ejector: Ejector
    admission: Admission

    async def live(self, request: Request) -> Response:
        """Red only where a restart of this process is the way out."""
        failed = all(one.engine.status.state == "failed" for one in self.fleet.replicas)
        error = none_ready(self.fleet.replicas) if failed else None
        return self._answer("failed" if failed else "live", error)

    async def ready(self, request: Request) -> Response:
        """Green while any replica can take a request: what only the other pool serves may wait."""
        if self.admission.draining:
            error = unavailable(
                "shutting_down", "The server is shutting down.", retry_after_s=DRAIN_RETRY_S
            )
            return self._answer("draining", error)
        if any(one.ready for one in self.fleet.replicas):
            return self._answer("ready", None)
        error = none_ready(self.fleet.replicas)
        return self._answer(error.code.removeprefix("engine_"), error)

    def _answer(self, word: str, error: ApiError | None) -> Response:
        replicas = self.fleet.replicas
        body: dict[str, Any] = {
            "status": word,
            "pools": {
                pool: {
                    "ready": sum(one.ready for one in of_pool),
                    "replicas": {one.name: self._described(one) for one in of_pool},
                }
                for pool in POOLS
                if (of_pool := [one for one in replicas if one.pool == pool])
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

    def _described(self, replica: Replica) -> dict[str, Any]:
        status = replica.engine.status
        return {
            "state": status.state,
            "restarts": status.restarts,
            "crash_loop": status.state == "failed",
            "reason": status.reason,
            "ejected": self.ejector.standing(replica.record) == "out",
            "retiring": replica.retiring,
        }

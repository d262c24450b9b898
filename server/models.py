"""GET /v1/models, without the engine's paths and permissions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx
from starlette.requests import Request
from starlette.responses import Response

from server.engine_status import EngineView, not_ready
from server.errors import ApiError, unavailable
from server.responses import JSON

SHOWN = ("id", "object", "created", "owned_by", "max_model_len")


@dataclass(frozen=True)
class Models:
    client: httpx.AsyncClient
    engine: EngineView

    async def list(self, request: Request) -> Response:
        return _json({"object": "list", "data": await self._models()})

    async def one(self, request: Request) -> Response:
        wanted = request.path_params["model"]
        for model in await self._models():
            if model.get("id") == wanted:
                return _json(model)
        raise ApiError(
            404, "model_not_found", f"The model {wanted[:200]!r} is not served here.", param="model"
        )

    async def _models(self) -> Sequence[dict[str, Any]]:
        refusal = not_ready(self.engine)
        if refusal is not None:
            raise refusal
        try:
            answer = (await self.client.get("/v1/models")).raise_for_status()
            models = answer.json()["data"]
        except (httpx.HTTPError, ValueError, KeyError) as error:
            raise unavailable(
                "engine_unavailable",
                "The engine does not say which models it has.",
                retry_after_s=self.engine.retry_after_s,
            ) from error
        return [{key: model[key] for key in SHOWN if key in model} for model in models]


def _json(document: dict[str, Any]) -> Response:
    return Response(json.dumps(document), media_type=JSON)

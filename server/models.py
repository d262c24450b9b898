"""GET /v1/models, without the engine's paths and permissions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import anyio
import httpx
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from server.access import key_of
from server.errors import ApiError, unavailable
from server.pools.fleet import Fleet
from server.pools.replica import Replica
from server.pools.servable import none_ready
from server.responses import JSON


class Model(BaseModel):
    """What is shown of a model."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: str
    object: str = "model"
    created: int | None = None
    owned_by: str | None = None
    max_model_len: int | None = None

    def document(self) -> dict[str, Any]:
        return self.model_dump(exclude_none=True)


class _ModelList(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    data: list[Model] = Field(min_length=1)


async def listed_models(client: httpx.AsyncClient) -> Sequence[Model]:
    """At least one. Raises httpx.HTTPError or pydantic's ValidationError, a ValueError."""
    answer = (await client.get("/v1/models")).raise_for_status()
    return _ModelList.model_validate_json(answer.content).data


@dataclass(frozen=True)
class Models:
    fleet: Fleet

    async def list(self, request: Request) -> Response:
        models = [model.document() for model in await self._models(request)]
        return _json({"object": "list", "data": models})

    async def one(self, request: Request) -> Response:
        wanted = request.path_params["model"]
        for model in await self._models(request):
            if model.id == wanted:
                return _json(model.document())
        raise model_not_found(wanted)

    async def _models(self, request: Request) -> Sequence[Model]:
        key = key_of(request.scope)
        return [model for model in await self._listed() if key.may_use(model.id)]

    async def _listed(self) -> Sequence[Model]:
        replicas = self.fleet.replicas
        ready = [one for one in replicas if one.ready]
        if not ready:
            raise none_ready(replicas)
        listed: dict[str, Model] = {}

        async def add(replica: Replica) -> None:
            for model in await _listed(replica):
                listed[model.id] = _wider(listed.get(model.id), model)

        async with anyio.create_task_group() as tasks:
            for one in ready:
                tasks.start_soon(add, one)
        if not listed:
            raise unavailable(
                "engine_unavailable",
                "The engine does not say which models it has.",
                retry_after_s=ready[0].engine.retry_after_s,
            )
        return sorted(listed.values(), key=lambda model: model.id)


async def _listed(replica: Replica) -> Sequence[Model]:
    """Nothing where it does not say: another one may."""
    try:
        return await listed_models(replica.client)
    except (httpx.HTTPError, ValueError):
        return ()


def _wider(known: Model | None, model: Model) -> Model:
    """Of two replicas the one that takes longer requests: those are sent there."""
    if known is None or (model.max_model_len or 0) > (known.max_model_len or 0):
        return model
    return known


def model_not_found(name: str) -> ApiError:
    """The same whether it is not there or not for this key."""
    return ApiError(
        404,
        "model_not_found",
        f"The model {name[:200]!r} does not exist or you do not have access to it.",
        param="model",
    )


def _json(document: dict[str, Any]) -> Response:
    return Response(json.dumps(document), media_type=JSON)

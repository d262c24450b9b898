"""The gateway as an ASGI app: which path goes where, and what an error looks like."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import httpx
from fastapi import FastAPI
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from server import defaults
from server.admission import Admission
from server.completions import CompletionEndpoint
from server.engine_status import EngineView
from server.errors import ApiError
from server.health import Health
from server.metrics import Metrics
from server.models import Models
from server.observed import ObservedMiddleware, Observers
from server.openai_request import PATHS
from server.openapi import DOCUMENT
from server.record import record_of
from server.relay import Relay
from server.request_id import request_id_of
from server.responses import JSON, REQUEST_ID
from server.surface import why_not
from server.timeouts import Timeouts
from server.upstream import Upstream
from server.usage import Pool


@dataclass(frozen=True)
class Gateway:
    app: FastAPI
    admission: Admission
    metrics: Metrics


def create_app(
    upstream: Upstream,
    client: httpx.AsyncClient,
    engine: EngineView,
    *,
    pool: Pool = "speculative",
    timeouts: Timeouts | None = None,
    max_in_flight: int = defaults.MAX_IN_FLIGHT,
    max_body_bytes: int = defaults.MAX_BODY_BYTES,
    metrics: Metrics | None = None,
    observers: Observers | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Gateway:
    """For a server.listener.

    Completions go to `upstream`, all else to `client`; both are the caller's to close.
    """
    metrics = metrics or Metrics(pool)
    admission = Admission(limit=max_in_flight, clock=clock, on_change=metrics.in_flight.set)
    relay = Relay(upstream, engine, pool, timeouts or Timeouts(), metrics, clock)
    app = FastAPI(
        title="specserve",
        routes=_routes(
            CompletionEndpoint(relay, admission, metrics, max_body_bytes, clock),
            Health(engine, admission),
            Models(client, engine),
            metrics,
        ),
        openapi_url=None,
        redirect_slashes=False,
    )
    app.add_middleware(ObservedMiddleware, observers=observers or Observers(), clock=clock)
    app.add_exception_handler(404, _unknown_url)
    app.add_exception_handler(405, _method_not_allowed)
    app.add_exception_handler(ApiError, _api_error)
    app.add_exception_handler(Exception, _internal_error)
    return Gateway(app, admission, metrics)


def _routes(
    completions: CompletionEndpoint, health: Health, models: Models, metrics: Metrics
) -> list[BaseRoute]:
    async def exposition(request: Request) -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    async def openapi(request: Request) -> Response:
        return Response(json.dumps(DOCUMENT), media_type=JSON)

    return [
        *(Route(path, completions, methods=["POST"]) for path in PATHS),
        Route("/v1/models", models.list, methods=["GET"]),
        Route("/v1/models/{model:path}", models.one, methods=["GET"]),
        Route("/health/live", health.live, methods=["GET"]),
        Route("/health/ready", health.ready, methods=["GET"]),
        Route("/metrics", exposition, methods=["GET"]),
        Route("/openapi.json", openapi, methods=["GET"]),
    ]


async def _unknown_url(request: Request, error: Exception) -> Response:
    path = request.url.path[:200]
    why = why_not(path)
    text = f"There is nothing at {path}" + (f": {why}." if why else ".")
    return _response(request, ApiError(404, "unknown_url", text))


async def _method_not_allowed(request: Request, error: Exception) -> Response:
    allow = (cast(HTTPException, error).headers or {}).get("Allow")
    answer = ApiError(
        405,
        "method_not_allowed",
        f"{request.method} is not possible at {request.url.path}; use {allow}.",
        allow=allow,
    )
    return _response(request, answer)


async def _api_error(request: Request, error: Exception) -> Response:
    return _response(request, cast(ApiError, error))


async def _internal_error(request: Request, error: Exception) -> Response:
    # Outside our own middleware, so the id is put on here; Starlette raises it again for the log.
    answer = ApiError(500, "internal_error", "The gateway failed on this request; this is a bug.")
    response = _response(request, answer)
    response.headers[REQUEST_ID] = request_id_of(request.scope)
    return response


def _response(request: Request, error: ApiError) -> Response:
    record_of(request.scope).code = error.code
    return Response(error.body(), error.status, headers=error.headers(), media_type=JSON)

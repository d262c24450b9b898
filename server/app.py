"""The gateway as an ASGI app: which path goes where, and what an error looks like."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import httpx
from fastapi import FastAPI
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from server import defaults
from server.access import Access, AccessMiddleware
from server.admission import Admission
from server.completions import CompletionEndpoint
from server.engine_status import EngineView
from server.errors import ApiError
from server.health import Health
from server.keys import KeyRing
from server.metrics import Metrics
from server.models import Models
from server.openai_request import CHAT_PATH, COMPLETION_PATH
from server.quotas import Quotas
from server.relay import Relay
from server.request_id import RequestIdMiddleware, request_id_of
from server.responses import JSON, REQUEST_ID
from server.timeouts import Timeouts
from server.upstream import Upstream
from server.usage import Pool


@dataclass(frozen=True)
class Gateway:
    app: FastAPI
    access: Access
    admission: Admission
    metrics: Metrics


def create_app(
    upstream: Upstream,
    client: httpx.AsyncClient,
    engine: EngineView,
    *,
    pool: Pool = "speculative",
    timeouts: Timeouts | None = None,
    keys: KeyRing | None = None,
    quotas: Quotas | None = None,
    max_in_flight: int = defaults.MAX_IN_FLIGHT,
    max_queued: int = defaults.MAX_QUEUED,
    max_body_bytes: int = defaults.MAX_BODY_BYTES,
    metrics: Metrics | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Gateway:
    """For a server.listener.

    Completions go to `upstream`, all else to `client`; both are the caller's to close.
    """
    metrics = metrics or Metrics(pool)
    access = Access(keys or KeyRing())
    admission = Admission(max_in_flight, max_queued, clock, metrics.admission_changed)
    relay = Relay(upstream, engine, pool, timeouts or Timeouts(), metrics, clock)
    app = FastAPI(
        title="specserve",
        routes=_routes(
            CompletionEndpoint(
                relay, admission, quotas or Quotas(), metrics, max_body_bytes, clock
            ),
            Health(engine, admission),
            Models(client, engine),
            metrics,
        ),
        openapi_url=None,
        redirect_slashes=False,
    )
    app.add_middleware(AccessMiddleware, access=access, on_refused=metrics.rejected)
    app.add_middleware(RequestIdMiddleware)
    app.add_exception_handler(404, _unknown_url)
    app.add_exception_handler(405, _method_not_allowed)
    app.add_exception_handler(ApiError, _api_error)
    app.add_exception_handler(Exception, _internal_error)
    return Gateway(app, access, admission, metrics)


def metrics_app(metrics: Metrics) -> Starlette:
    """/metrics alone and for anyone, on a port of its own."""
    return Starlette(routes=[_metrics_route(metrics)])


def _metrics_route(metrics: Metrics) -> Route:
    async def exposition(request: Request) -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return Route("/metrics", exposition, methods=["GET"])


def _routes(
    completions: CompletionEndpoint, health: Health, models: Models, metrics: Metrics
) -> list[BaseRoute]:
    return [
        Route(CHAT_PATH, completions, methods=["POST"]),
        Route(COMPLETION_PATH, completions, methods=["POST"]),
        Route("/v1/models", models.list, methods=["GET"]),
        Route("/v1/models/{model:path}", models.one, methods=["GET"]),
        Route("/health/live", health.live, methods=["GET"]),
        Route("/health/ready", health.ready, methods=["GET"]),
        _metrics_route(metrics),
    ]


async def _unknown_url(request: Request, error: Exception) -> Response:
    path = request.url.path[:200]
    return _response(ApiError(404, "unknown_url", f"There is nothing at {path}."))


async def _method_not_allowed(request: Request, error: Exception) -> Response:
    allow = (cast(HTTPException, error).headers or {}).get("Allow")
    answer = ApiError(
        405,
        "method_not_allowed",
        f"{request.method} is not possible at {request.url.path}; use {allow}.",
        extra={} if allow is None else {"allow": allow},
    )
    return _response(answer)


async def _api_error(request: Request, error: Exception) -> Response:
    return _response(cast(ApiError, error))


async def _internal_error(request: Request, error: Exception) -> Response:
    # Outside our own middleware, so the id is put on here; Starlette raises it again for the log.
    answer = ApiError(500, "internal_error", "The gateway failed on this request; this is a bug.")
    response = _response(answer)
    response.headers[REQUEST_ID] = request_id_of(request.scope)
    return response


def _response(error: ApiError) -> Response:
    return Response(error.body(), error.status, headers=error.headers(), media_type=JSON)

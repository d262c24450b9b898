"""The gateway as an ASGI app: which path goes where, and what an error looks like."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

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
from server.config.sections import (
    BalanceConfig,
    EjectionConfig,
    RetryConfig,
    SpeculationConfig,
)
from server.errors import ApiError
from server.health import Health
from server.keys import KeyRing
from server.metrics import Metrics
from server.models import Models
from server.openai_request import CHAT_PATH, COMPLETION_PATH
from server.pools.dispatcher import Dispatcher
from server.pools.ejection import Ejector
from server.pools.fleet import Fleet
from server.pools.policy import FixedPolicy, Policy
from server.pools.retry import RetryBudget
from server.quotas import Quotas
from server.request_id import RequestIdMiddleware, request_id_of
from server.responses import JSON, REQUEST_ID
from server.speculation import AutoPolicy
from server.timeouts import Timeouts


@dataclass(frozen=True)
class Gateway:
    app: FastAPI
    fleet: Fleet
    access: Access
    admission: Admission
    dispatcher: Dispatcher
    completions: CompletionEndpoint
    metrics: Metrics

    def limit(self, limits: Limits) -> None:
        """From the next request on; what runs keeps the deadlines that it has."""
        self.admission.resize(limits.max_in_flight, limits.max_queued)
        self.completions.max_body_bytes = limits.max_body_bytes
        self.completions.timeouts = self.dispatcher.timeouts = limits.timeouts
        now = self.dispatcher.policy
        self.dispatcher.policy = _policy(limits.speculation, now, self.dispatcher.clock)
        self.dispatcher.balance = limits.balance
        self.dispatcher.ejector.config = limits.ejection
        self.dispatcher.budget.config = limits.retry
        for replica in self.fleet.replicas:
            replica.relay.timeouts = limits.timeouts


@dataclass(frozen=True)
class Limits:
    """What may change while requests run."""

    timeouts: Timeouts = field(default_factory=Timeouts)
    max_in_flight: int = defaults.MAX_IN_FLIGHT
    max_queued: int = defaults.MAX_QUEUED
    max_body_bytes: int = defaults.MAX_BODY_BYTES
    speculation: SpeculationConfig = field(default_factory=SpeculationConfig)
    balance: BalanceConfig = field(default_factory=BalanceConfig)
    ejection: EjectionConfig = field(default_factory=EjectionConfig)
    retry: RetryConfig = field(default_factory=RetryConfig)


def create_app(
    fleet: Fleet,
    metrics: Metrics,
    *,
    limits: Limits | None = None,
    keys: KeyRing | None = None,
    quotas: Quotas | None = None,
    policy: Policy | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Gateway:
    """For a server.listener."""
    limits = limits or Limits()
    access = Access(keys or KeyRing())
    admission = Admission(limits.max_in_flight, limits.max_queued, clock, metrics.admission_changed)
    dispatcher = Dispatcher(
        fleet,
        policy or _policy(limits.speculation, None, clock),
        Ejector(limits.ejection, clock, metrics.fleet.ejected),
        RetryBudget(limits.retry, clock),
        limits.balance,
        limits.timeouts,
        metrics,
        clock,
    )
    completions = CompletionEndpoint(
        dispatcher,
        admission,
        quotas or Quotas(),
        metrics,
        limits.timeouts,
        limits.max_body_bytes,
        clock,
    )
    app = FastAPI(
        title="specserve",
        routes=_routes(
            completions,
            Health(fleet, dispatcher.ejector, admission),
            Models(fleet),
            dispatcher,
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
    return Gateway(app, fleet, access, admission, dispatcher, completions, metrics)


def metrics_app(metrics: Metrics) -> Starlette:
    """/metrics alone and for anyone, on a port of its own."""
    return Starlette(routes=[_metrics_route(metrics)])


def _metrics_route(metrics: Metrics) -> Route:
    async def exposition(request: Request) -> Response:
        return Response(generate_latest(metrics.table.registry), media_type=CONTENT_TYPE_LATEST)

    return Route("/metrics", exposition, methods=["GET"])


def _policy(config: SpeculationConfig, now: Policy | None, clock: Callable[[], float]) -> Policy:
    """`now` where it is of the kind that is asked for: what it has learnt stays."""
    if config.default == "auto":
        return now if isinstance(now, AutoPolicy) else AutoPolicy(clock=clock, rng=random.Random())
    return FixedPolicy("plain" if config.default == "off" else "speculative")


def _routes(
    completions: CompletionEndpoint,
    health: Health,
    models: Models,
    dispatcher: Dispatcher,
    metrics: Metrics,
) -> list[BaseRoute]:
    async def speculation(request: Request) -> Response:
        document = dispatcher.policy.snapshot()
        return Response(json.dumps(document), media_type=JSON)

    return [
        Route(CHAT_PATH, completions, methods=["POST"]),
        Route(COMPLETION_PATH, completions, methods=["POST"]),
        Route("/v1/models", models.list, methods=["GET"]),
        Route("/v1/models/{model:path}", models.one, methods=["GET"]),
        Route("/v1/speculation", speculation, methods=["GET"]),
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

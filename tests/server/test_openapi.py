"""schemathesis against a running gateway: our own paths do what our document says."""

from __future__ import annotations

from typing import Any, cast

import anyio
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from starlette.routing import Route

from server.engine_status import EngineState, EngineStatus
from server.openai_request import PATHS
from server.openapi import DOCUMENT
from tests.server.conftest import Running

EXAMPLES = 15
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
OPERATIONS: list[Any] = [cast(Any, result).ok() for result in SCHEMA.get_all_operations()]


def drive(operation: Any, base_url: str) -> None:  # noqa: ANN401
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
        phases=(Phase.generate,),
    )
    @given(case=operation.as_strategy())
    def conforms(case: schemathesis.Case[Any]) -> None:
        # A 503 that is documented is an answer.
        case.call_and_validate(base_url=base_url, excluded_checks=[not_a_server_error])

    try:
        conforms()
    except FailureGroup as failures:
        # It is no Exception, and so would end the event loop and not the test.
        raise AssertionError(str(failures)) from failures


@pytest.mark.anyio
@pytest.mark.parametrize("state", ["ready", "failed"])
async def test_answers_are_as_documented(gateway: Running, state: EngineState) -> None:
    gateway.view.status = EngineStatus(state, reason="it ended with code 3")
    for operation in OPERATIONS:
        await anyio.to_thread.run_sync(drive, operation, gateway.url)


@pytest.mark.anyio
async def test_the_document_is_served(gateway: Running) -> None:
    assert (await gateway.http.get("/openapi.json")).json() == DOCUMENT


@pytest.mark.anyio
async def test_the_document_has_every_path_that_is_answered_here(gateway: Running) -> None:
    app = gateway.gateway.app
    paths = {route.path for route in app.routes if isinstance(route, Route)}
    ours = {path.replace("{model:path}", "{id}") for path in paths - set(PATHS)}
    assert ours == set(DOCUMENT["paths"])

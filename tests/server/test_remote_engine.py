"""An engine at a URL, from starting to ready to lost and back."""

from __future__ import annotations

from collections.abc import Iterator

import anyio
import httpx
import pytest

from server.engine_status import EngineStatus
from server.remote_engine import RemoteEngine
from tests.server.waiting import WAIT_S

pytestmark = pytest.mark.anyio
UP, DOWN = 200, 500


async def right(client: httpx.AsyncClient, model: str) -> None:
    assert model == "fake"


async def states(health: Iterator[int]) -> list[tuple[str, str | None]]:
    """What is said of an engine whose looks at /health end with these, in order."""
    seen: list[tuple[str, str | None]] = []
    over = anyio.Event()

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/models":
            return httpx.Response(200, json={"data": [{"id": "fake"}]})
        status = next(health, None)
        if status is None:
            over.set()
        return httpx.Response(status or UP)

    def changed(status: EngineStatus) -> None:
        seen.append((status.state, status.reason))

    transport = httpx.MockTransport(answer)
    async with httpx.AsyncClient(transport=transport, base_url="http://engine") as client:
        engine = RemoteEngine(client, changed, check=right, every_s=0.0, health_failures=3)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(engine.run)
            with anyio.fail_after(WAIT_S):
                await over.wait()
            tasks.cancel_scope.cancel()
    return seen


async def test_a_missed_health_check_or_two_are_no_loss() -> None:
    looks = iter([UP, DOWN, DOWN, UP, DOWN, DOWN, UP])
    assert await states(looks) == [("ready", None), ("stopped", None)]


async def test_an_engine_that_stays_away_is_lost_and_checked_anew() -> None:
    assert await states(iter([UP, DOWN, DOWN, DOWN])) == [
        ("ready", None),
        ("restarting", "/health was answered with HTTP 500"),
        ("ready", None),
        ("stopped", None),
    ]

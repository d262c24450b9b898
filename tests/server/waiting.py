"""Waiting for what another process does, with a bound and without a guess."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

WAIT_S = 60.0
POLL_S = 0.02


async def until(condition: Callable[[], bool]) -> None:
    async def asked() -> bool:
        return condition()

    await until_async(asked)


async def until_async(condition: Callable[[], Awaitable[bool]]) -> None:
    with anyio.fail_after(WAIT_S):
        while not await condition():  # noqa: ASYNC110 - no event crosses a process border
            await anyio.sleep(POLL_S)

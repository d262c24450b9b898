"""Where requests and tokens are counted: here, or in a Valkey that several gateways share.

A shared store that fails must not fail the service: by default each gateway then counts alone,
so that N gateways let through at most N times the limit, and what protects the engines, the
bounded queue, is as it was. Who would rather refuse than let one request too many through says so.
"""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeVar

import anyio
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.errors import StorageError
from valkey.asyncio import BlockingConnectionPool

from server.defaults import WhenDown
from server.errors import unavailable

Storage = MemoryStorage | RedisStorage
T = TypeVar("T")

STORE_TIMEOUT_S = 0.5
RETRY_S = 2.0
MAX_CONNECTIONS = 32


@dataclass
class QuotaStore:
    shared: RedisStorage | None = None
    when_down: WhenDown = "local"
    on_error: Callable[[], None] = lambda: None
    clock: Callable[[], float] = time.monotonic
    local: MemoryStorage = field(default_factory=MemoryStorage)
    _again_at: float = 0.0
    _down: bool = False

    async def use(self, work: Callable[[Storage], Awaitable[T]]) -> tuple[T, Storage]:
        """Its result and where it was done. Raises ApiError 503 where `when_down` is refuse."""
        if self.shared is None:
            return await work(self.local), self.local
        if self.clock() >= self._again_at:
            with suppress(StorageError):
                return await self._on_shared(work, self.shared), self.shared
        if self.when_down == "refuse":
            raise unavailable(
                "quota_unavailable",
                "What has been used of your quota cannot be told now.",
                retry_after_s=RETRY_S,
            )
        return await work(self.local), self.local

    async def amend(self, storage: Storage, work: Callable[[Storage], Awaitable[object]]) -> None:
        """Where it was counted or nowhere."""
        if storage is self.shared:
            if self.clock() >= self._again_at:
                with suppress(StorageError):
                    await self._on_shared(work, storage)
        else:
            await work(storage)

    async def _on_shared(self, work: Callable[[Storage], Awaitable[T]], shared: RedisStorage) -> T:
        if self._down:
            # One asks; the others go on as they do until it has an answer.
            self._again_at = self.clock() + RETRY_S
        try:
            # Bounded by the timeouts of its sockets. A call that is cancelled half-way would
            # leave its answer for the next one on that connection.
            with anyio.CancelScope(shield=True):
                result = await work(shared)
        except StorageError as error:
            self.on_error()
            self._again_at = self.clock() + RETRY_S
            if not self._down:
                self._down = True
                sys.stderr.write(f"quotas: the store does not answer: {error}\n")
            raise
        if self._down:
            self._down = False
            sys.stderr.write("quotas: the store answers again\n")
        return result


@asynccontextmanager
async def shared_storage(url: str) -> AsyncIterator[RedisStorage]:
    """Connects on its first use. `url` is redis://, rediss://, valkey:// or valkeys://."""
    pool: BlockingConnectionPool = BlockingConnectionPool.from_url(
        url,
        max_connections=MAX_CONNECTIONS,
        timeout=STORE_TIMEOUT_S,
        socket_timeout=STORE_TIMEOUT_S,
        socket_connect_timeout=STORE_TIMEOUT_S,
    )
    try:
        yield RedisStorage(
            "async+" + url,
            wrap_exceptions=True,
            implementation="valkey",
            key_prefix="SPECSERVE",
            connection_pool=pool,  # type: ignore[arg-type]
        )
    finally:
        await pool.aclose()

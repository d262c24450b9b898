"""One answer of an engine: its connection fills it, one task reads it."""

from __future__ import annotations

import asyncio

from server.upstream import Take, UpstreamLostError


class HttpAnswer:
    def __init__(self, transport: asyncio.Transport) -> None:
        self.status = 0
        """0 until the head is there."""
        self.headers: dict[str, str] = {}
        self.ended = False
        self._transport = transport
        self._parts: list[bytes] = []
        self._lost: UpstreamLostError | None = None
        self._take: Take | None = None
        self._waiting: asyncio.Future[bool] | None = None

    async def head(self) -> None:
        while not self.status:
            await self._wait()

    async def feed(self, take: Take) -> bool:
        if self._parts and not take(self._taken()):
            return True
        while not self.ended:
            self._take = take
            if await self._wait():
                return True
        return False

    async def rest(self) -> bytes:
        while not self.ended:
            await self._wait()
        return self._taken()

    def body(self, part: bytes) -> None:
        self._parts.append(part)

    def lost(self, why: str) -> None:
        """Nothing more comes."""
        if not self.ended:
            self._lost = UpstreamLostError(why)
        self.arrived()

    def arrived(self) -> None:
        """A read has brought what it brought."""
        if self._take is not None and self._parts:
            try:
                stop = not self._take(self._taken())
            except Exception as error:  # noqa: BLE001 - it belongs to the task in feed()
                self._wake(error)
                return
            if stop:
                self._pause()
                self._wake(stop)
                return
            if not self.ended and self._lost is None:
                return
        elif self._waiting is None and self._parts:
            # Nobody is there to take it: the engine has to wait, not our memory.
            self._pause()
        self._wake(False)

    def _taken(self) -> bytes:
        parts, self._parts = self._parts, []
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _pause(self) -> None:
        if not self._transport.is_closing():
            self._transport.pause_reading()

    async def _wait(self) -> bool:
        """Until there is news; True: `take` wants no more for now."""
        if self._lost is not None:
            raise self._lost
        if not self._transport.is_closing():
            self._transport.resume_reading()
        self._waiting = asyncio.get_running_loop().create_future()
        try:
            return await self._waiting
        finally:
            self._waiting = self._take = None

    def _wake(self, news: bool | Exception) -> None:
        self._take = None
        if self._waiting is None or self._waiting.done():
            return
        if isinstance(news, Exception):
            self._waiting.set_exception(news)
        else:
            self._waiting.set_result(news)

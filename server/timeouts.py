"""How long each phase of a request may take."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from typing import Literal

import anyio

from server import defaults
from server.errors import ApiError, Code

Phase = Literal["body", "first_token", "chunk", "total", "client"]

_LATE: dict[Phase, tuple[int, Code, str]] = {
    "body": (408, "timeout_body", "The body did not arrive within {:g} s."),
    "first_token": (504, "timeout_first_token", "The engine gave no token within {:g} s."),
    "chunk": (504, "timeout_chunk", "The engine gave nothing more for {:g} s."),
    "total": (504, "timeout_total", "The answer was not complete within {:g} s."),
    "client": (504, "deadline_exceeded", "The answer was not complete within the client's {:g} s."),
}


@dataclass(frozen=True)
class Timeouts:
    """Seconds."""

    body: float = defaults.BODY_TIMEOUT_S
    queue: float = defaults.QUEUE_TIMEOUT_S
    connect: float = defaults.CONNECT_TIMEOUT_S
    first_token: float = defaults.FIRST_TOKEN_TIMEOUT_S
    chunk: float = defaults.CHUNK_TIMEOUT_S
    write: float = defaults.WRITE_TIMEOUT_S
    """A client that takes nothing for this long is dropped."""
    total: float = defaults.TOTAL_TIMEOUT_S


@contextmanager
def deadline(phase: Phase, limit_s: float, *, left_s: float | None = None) -> Iterator[None]:
    """Raises ApiError after `limit_s`, or after `left_s` of it where a part is already used."""
    with anyio.move_on_after(limit_s if left_s is None else max(0.0, left_s)) as scope:
        yield
    if scope.cancelled_caught:
        raise _late(phase, limit_s)


class Patience:
    """How long the engine may keep us waiting: `first_token` seconds, then `chunk` for each chunk.

    Then only inside of `with patience:`, for it is not the engine's fault when a client reads
    slowly. One timer that looks again where the deadline has moved: to set one for each chunk
    would cost as much as to pass the chunk on.
    """

    # A process that was stopped, or a machine, finds all timers due and all chunks still unread.
    READ_FIRST_S = 0.05

    def __init__(self, timeouts: Timeouts, scope: anyio.CancelScope) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeouts = timeouts
        self._scope = scope
        self._phase: Phase = "first_token"
        self._by = self._loop.time() + timeouts.first_token
        self._timer = self._loop.call_at(self._by, self._look)
        self._missed = inf
        """The deadline that had passed when the timer last looked."""

    def __enter__(self) -> None:
        self.heard()

    def __exit__(self, *exc: object) -> None:
        if self._phase == "chunk":
            self._by = inf

    def heard(self) -> None:
        """A chunk has come."""
        if self._phase == "chunk":
            self._by = self._loop.time() + self._timeouts.chunk

    def begun(self) -> None:
        """The engine has given its first tokens."""
        self._phase = "chunk"
        self.heard()
        self._timer.cancel()
        self._look()

    def close(self) -> None:
        self._timer.cancel()

    @property
    def error(self) -> ApiError:
        limit_s = self._timeouts.chunk if self._phase == "chunk" else self._timeouts.first_token
        return _late(self._phase, limit_s)

    def _look(self) -> None:
        now = self._loop.time()
        if now < self._by:
            # No wait that begins from now on may end before that.
            again = min(self._by, now + self._timeouts.chunk)
        elif self._missed == self._by:
            self._scope.cancel()
            return
        else:
            self._missed, again = self._by, now + self.READ_FIRST_S
        self._timer = self._loop.call_at(again, self._look)


@contextmanager
def patience(timeouts: Timeouts) -> Iterator[Patience]:
    """Raises ApiError where the engine lets one wait too long."""
    with anyio.CancelScope() as scope:
        watch = Patience(timeouts, scope)
        try:
            yield watch
        finally:
            watch.close()
    if scope.cancelled_caught:
        raise watch.error


def _late(phase: Phase, limit_s: float) -> ApiError:
    status, code, text = _LATE[phase]
    return ApiError(status, code, text.format(limit_s))

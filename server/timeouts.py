"""How long each phase of a request may take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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
        status, code, text = _LATE[phase]
        raise ApiError(status, code, text.format(limit_s))

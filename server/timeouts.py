"""How long each phase of a request may take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import anyio

from server.errors import ApiError

Phase = Literal["body", "first_token", "chunk", "total"]

_LATE: dict[Phase, tuple[int, str]] = {
    "body": (408, "The body did not arrive within {:g} s."),
    "first_token": (504, "The engine gave no token within {:g} s."),
    "chunk": (504, "The engine gave nothing more for {:g} s."),
    "total": (504, "The answer was not complete within {:g} s."),
}


@dataclass(frozen=True)
class Timeouts:
    """Seconds."""

    body: float = 30.0
    connect: float = 5.0
    first_token: float = 120.0
    chunk: float = 60.0
    total: float = 600.0


@contextmanager
def deadline(phase: Phase, limit_s: float, *, left_s: float | None = None) -> Iterator[None]:
    """Raises ApiError after `limit_s`, or after `left_s` of it where a part is already used."""
    with anyio.move_on_after(limit_s if left_s is None else max(0.0, left_s)) as scope:
        yield
    if scope.cancelled_caught:
        status, text = _LATE[phase]
        raise ApiError(status, f"timeout_{phase}", text.format(limit_s))

"""stderr for a process that has to outlive its log."""

from __future__ import annotations

import io
from contextlib import suppress
from typing import TextIO


class UnfailingStderr(io.TextIOBase):
    """What a full disk or a closed pipe does not take is lost; nobody fails on it."""

    def __init__(self, inner: TextIO) -> None:
        self._inner = inner

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._inner.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._inner.flush()

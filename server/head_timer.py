"""Closes a connection whose client does not get on with its request line and headers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class HeadTimer:
    loop: asyncio.AbstractEventLoop
    limit_s: float
    on_late: Callable[[], None]
    _timer: asyncio.TimerHandle | None = None

    def waits(self, waits: bool) -> None:
        """Whether a head has begun and is not whole; the time runs from the first yes."""
        if not waits:
            self.stop()
        elif self._timer is None:
            self._timer = self.loop.call_later(self.limit_s, self.on_late)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

"""One request that was let in, and the means to end it early."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import anyio

from server.keys import Key

Reason = Literal["client_gone", "slow_reader", "pushed_out", "shutdown"]


@dataclass(eq=False)
class Ticket:
    key: Key
    drop: Callable[[], None]
    """Ends the client's connection at once."""
    scope: anyio.CancelScope | None = None
    reason: Reason | None = None
    running_since: float | None = None
    granted: anyio.Event = field(default_factory=anyio.Event)

    def end(self, reason: Reason) -> None:
        if self.reason is None:
            self.reason = reason
        if self.scope is not None:
            self.scope.cancel()

"""From a signal to the exit code, in six steps.

1. Readiness turns red and new requests are answered 503; the port stays open to say so.
2. What has not begun to run is answered 503 as well: another replica can begin it at once.
3. Running requests have `drain_s` to finish.
4. What is left ends with an error event, or 503 where nothing had been sent; a client that
   does not take it is dropped.
5. The listener closes.
6. The engine is ended, and the process exits with 0.

A second signal skips the wait of step 3; the exit code is then 1.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import anyio

from server.admission import Admission

LAST_WORDS_S = 2.0


@dataclass
class Shutdown:
    admission: Admission
    drain_s: float
    on_begin: Callable[[], None]
    forced: bool = False
    _second: anyio.Event = field(default_factory=anyio.Event)

    async def on_signals(self, signals: AsyncIterator[signal.Signals]) -> None:
        """Returns after step 4."""
        async with anyio.create_task_group() as tasks:
            async for number in signals:
                if self.admission.draining:
                    self.forced = True
                    self._second.set()
                    continue
                sys.stderr.write(f"{number.name}: draining for up to {self.drain_s:g} s\n")
                self.admission.draining = True
                self.on_begin()
                self.admission.end_waiting("shutdown")
                tasks.start_soon(self._drain, tasks.cancel_scope)

    async def _drain(self, listening: anyio.CancelScope) -> None:
        with anyio.move_on_after(self.drain_s):
            await self._idle_or_forced()
        self.admission.end_all("shutdown")
        with anyio.move_on_after(LAST_WORDS_S):
            await self.admission.wait_idle()
        self.admission.drop_all()
        listening.cancel()

    async def _idle_or_forced(self) -> None:
        async with anyio.create_task_group() as either:

            async def idle() -> None:
                await self.admission.wait_idle()
                either.cancel_scope.cancel()

            either.start_soon(idle)
            await self._second.wait()
            either.cancel_scope.cancel()

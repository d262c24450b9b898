"""All replicas, and how some come and others go while requests run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

import anyio
from anyio.abc import TaskGroup, TaskStatus

from server.pools.replica import Replica
from server.usage import Pool

Opening = AbstractAsyncContextManager[Replica]
"""A replica's connections, open while it is entered; its engine is started by the fleet."""


@dataclass(eq=False)
class Fleet:
    replicas: tuple[Replica, ...] = ()
    """Replaced, never changed: whoever reads it once sees one state."""
    on_gone: Callable[[Replica], None] = lambda replica: None
    _changed: anyio.Event = field(default_factory=anyio.Event)

    def of(self, pool: Pool) -> tuple[Replica, ...]:
        return tuple(one for one in self.replicas if one.pool == pool)

    def changed(self) -> None:
        """An engine's state is another."""
        self._changed.set()
        self._changed = anyio.Event()

    async def start(
        self, tasks: TaskGroup, come: Sequence[Opening], kept: Sequence[Replica] = ()
    ) -> tuple[Replica, ...]:
        """Opens all of them, then makes them and `kept` the replicas. Returns who is no longer.

        Those are still in `replicas`, where they serve until `retire`.
        """
        new = [await tasks.start(self._keep, opening) for opening in come]
        rest = tuple(one for one in self.replicas if one not in kept)
        gone = tuple(one for one in rest if not one.retiring)
        for one in gone:
            one.retiring = True
        self.replicas = (*kept, *new, *rest)
        self.changed()
        return gone

    async def retire(self, replica: Replica, drain_s: float) -> None:
        """Without a gap: it serves until another of its pool is ready, however long that takes.

        Then it gets nothing new, its requests have `drain_s`, and its engine is ended.
        """
        await self._until_replaced(replica)
        replica.leaving = True
        with anyio.move_on_after(drain_s):
            await replica.wait_idle()
        replica.scope.cancel()

    async def _until_replaced(self, replica: Replica) -> None:
        while True:
            configured = [one for one in self.of(replica.pool) if not one.retiring]
            if not configured or any(one.ready for one in configured):
                return
            await self._changed.wait()

    async def _keep(self, opening: Opening, *, task_status: TaskStatus[Replica]) -> None:
        async with opening as replica:
            task_status.started(replica)
            with replica.scope:
                await replica.engine.run()
        self.replicas = tuple(one for one in self.replicas if one is not replica)
        self.on_gone(replica)

"""One request: which pool, which replica, and which one next if that fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from server.answer import Answer
from server.config.sections import BalanceConfig
from server.errors import ApiError, Code
from server.metrics import Metrics
from server.openai_request import CompletionRequest
from server.pools import balance
from server.pools.ask import Ask
from server.pools.ejection import Ejector, Record
from server.pools.fleet import Fleet
from server.pools.policy import Policy
from server.pools.replica import Lease, Replica
from server.pools.retry import Attempts, RetryBudget
from server.pools.servable import Servable, able_by_pool, servable
from server.responses import POOL, REPLICA
from server.speculation import Answered
from server.structured.fault import INVALID
from server.timeouts import Timeouts, deadline
from server.usage import Pool

FAULTS: frozenset[Code] = frozenset(
    {
        "engine_unavailable",
        "engine_lost",
        "engine_refused",
        "engine_unexpected",
        "engine_error",
        "timeout_first_token",
        "timeout_chunk",
    }
)
"""The replica's own. Too much to do is none: to eject one for it leaves more to the others."""
MEASURED_TOKENS = 8
"""Below this an answer's time is its prompt's."""


@dataclass
class Dispatcher:
    fleet: Fleet
    policy: Policy
    ejector: Ejector
    budget: RetryBudget
    balance: BalanceConfig
    timeouts: Timeouts
    metrics: Metrics
    clock: Callable[[], float]

    def require(self, ask: Ask) -> None:
        """Raises ApiError where no replica could serve it now."""
        servable(self.fleet, ask).ready()

    async def run(self, request: CompletionRequest, answer: Answer) -> None:
        """Raises ApiError, before the answer has begun or in the middle of it."""
        self.budget.request()
        with deadline("total", self.timeouts.total):
            await self._attempts(request, answer)

    async def _attempts(self, request: CompletionRequest, answer: Answer) -> None:
        ask, attempts = request.ask, Attempts(self.budget, self.metrics.fleet.over_budget)
        replica: Replica | None = self._first(ask)
        tried: list[Replica] = []
        while replica is not None:
            tried.append(replica)
            try:
                await self._once(replica, request, answer)
            except ApiError as error:
                # A stream may have been seen in part or not, which no client should have to know.
                final = answer.status is not None or (request.stream and error.code == INVALID)
                replica = None if final else self._next(error, ask, tried)
                if replica is None or not attempts.again(error):
                    raise
                answer.forget()
                self.metrics.fleet.retried(tried[-1].pool, error.code)
            else:
                return

    def _first(self, ask: Ask) -> Replica:
        found = servable(self.fleet, ask)
        ready = found.ready()
        # A pool of which all are ejected is passed over, unless both are like that.
        usable = frozenset(pool for pool, ones in ready.items() if self._usable(ones))
        pool, reason = self._pool(ask, found, usable or frozenset(ready))
        self.metrics.fleet.pool_chosen(pool, ask.mode, reason)
        return self._replica(ready[pool], ask)

    def _pool(self, ask: Ask, found: Servable, ready: frozenset[Pool]) -> tuple[Pool, str]:
        if len(ready) > 1:
            load = {pool: self._load(pool) for pool in ready}
            if ask.traffic is None:
                return min(sorted(ready), key=load.__getitem__), "load"
            choice = self.policy.choose(ask.traffic, load=load, available=ready)
            return choice.pool, choice.reason
        (pool,) = ready
        if ask.mode != "auto":
            return pool, "asked"
        if len(found.able) > 1:
            return pool, "other_not_ready"
        return pool, "fields" if len(found.pools) > 1 else "only_pool"

    def _next(self, error: ApiError, ask: Ask, tried: Sequence[Replica]) -> Replica | None:
        """Of the same pool before the other; None where nobody is left."""
        last = tried[-1].pool
        able = able_by_pool(self.fleet, ask)
        if error.code == INVALID:
            return self._plainer(able, ask, tried)
        pools = sorted(able, key=lambda pool: pool != last)
        if error.code == "context_length_exceeded":
            # Drafts take room at the end of a context, which an engine without them has.
            pools = [pool for pool in pools if last == "speculative" and pool == "plain"]
        for pool in pools:
            left = [one for one in able[pool] if one.ready and one not in tried]
            if left:
                return self._replica(left, ask)
        return None

    def _plainer(
        self, able: Mapping[Pool, Sequence[Replica]], ask: Ask, tried: Sequence[Replica]
    ) -> Replica | None:
        """For an answer that has not the form asked for; without a plain pool, the same again."""
        pool: Pool = "plain" if "plain" in able else tried[-1].pool
        ready = [one for one in able.get(pool, ()) if one.ready]
        left = [one for one in ready if one not in tried] or ready
        return self._replica(left, ask) if left else None

    async def _once(self, replica: Replica, request: CompletionRequest, answer: Answer) -> None:
        answer.headers.update({POOL: replica.pool, REPLICA: replica.name})
        load = self._load(replica.pool)
        with (
            self.ejector.trial(replica.record),
            replica.lease(request.ask, self.clock) as lease,
        ):
            try:
                await replica.relay.run(request, answer, lease)
            except ApiError as error:
                self._failed(replica, error)
                raise
            self._succeeded(replica, lease)
        # Of several answers at once nobody waits for one token at a time.
        if request.ask.traffic is not None and lease.tokens is not None and request.choices == 1:
            took = Answered(
                replica.pool,
                f"{replica.name}/{replica.starts}",
                lease.tokens.completion,
                lease.seconds,
                load,
                lease.tokens.prompt,
                lease.first_s,
            )
            self.policy.observed(request.ask.traffic, took)

    def _failed(self, replica: Replica, error: ApiError) -> None:
        self.metrics.fleet.replica_answered(replica.pool, replica.name, error.code)
        if error.code in FAULTS:
            self.ejector.failed(replica.record, self._records())
        elif error.status < 500:
            self.ejector.succeeded(replica.record, None, ())

    def _succeeded(self, replica: Replica, lease: Lease) -> None:
        self.metrics.fleet.replica_answered(replica.pool, replica.name, "ok")
        tokens = lease.tokens.completion if lease.tokens else 0
        pace = lease.seconds / tokens if tokens >= MEASURED_TOKENS else None
        self.ejector.succeeded(replica.record, pace, self._records())

    def _replica(self, ready: Sequence[Replica], ask: Ask) -> Replica:
        # Where all are ejected, an ejected one is better than none.
        usable = self._usable(ready) or ready
        return balance.choose(usable, ask.prefix, self.balance.affinity_tokens)

    def _usable(self, ready: Sequence[Replica]) -> list[Replica]:
        return [one for one in ready if self.ejector.usable(one.record)]

    def _load(self, pool: Pool) -> float:
        """Requests running per ready replica."""
        replicas = self.fleet.of(pool)
        running = sum(one.running for one in replicas)
        return running / max(1, sum(one.ready for one in replicas))

    def _records(self) -> tuple[Record, ...]:
        return tuple(one.record for one in self.fleet.replicas)

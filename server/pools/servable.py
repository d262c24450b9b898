"""Which replicas could serve a request, and what is said where none can."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from neuron.stacks.capabilities import Lack
from server.engine_status import not_ready
from server.errors import ApiError, Code, invalid, unavailable
from server.pools.ask import FIELD, Ask, Mode
from server.pools.fleet import Fleet
from server.pools.needs import lacking
from server.pools.replica import Replica
from server.usage import POOLS, Pool

WANTED: Mapping[Mode, tuple[Pool, ...]] = {
    "auto": POOLS,
    "on": ("speculative",),
    "off": ("plain",),
}
WAY_OUT = {"temperature": "set it to 0"}
NEAREST: tuple[Code, ...] = (
    "engine_starting",
    "engine_restarting",
    "engine_stopped",
    "engine_failed",
)
"""Of several replicas that are not ready, the most hopeful one answers for all."""


@dataclass(frozen=True)
class Servable:
    able: Mapping[Pool, Sequence[Replica]]
    """Could serve it exactly, ready or not. At least one pool, no pool empty."""
    pools: frozenset[Pool]
    """That have replicas at all."""

    def ready(self) -> dict[Pool, list[Replica]]:
        """No pool empty. Raises ApiError: 503 where nobody is ready."""
        ready = {pool: [one for one in ones if one.ready] for pool, ones in self.able.items()}
        found = {pool: ones for pool, ones in ready.items() if ones}
        if not found:
            raise none_ready([one for ones in self.able.values() for one in ones])
        return found


def servable(fleet: Fleet, ask: Ask) -> Servable:
    """Raises ApiError: 400, naming the field, where no replica could ever serve it."""
    there = [one for one in fleet.replicas if not one.leaving]
    wanted = [one for one in there if one.pool in WANTED[ask.mode]]
    if not wanted:
        raise _no_pool(ask)
    able = able_by_pool(fleet, ask)
    if not able:
        raise _cannot(ask, wanted[0], elsewhere=any(_lack(ask, one) is None for one in there))
    return Servable(able, frozenset(one.pool for one in there))


def able_by_pool(fleet: Fleet, ask: Ask) -> dict[Pool, list[Replica]]:
    able: dict[Pool, list[Replica]] = {}
    for one in fleet.replicas:
        if one.pool in WANTED[ask.mode] and not one.leaving and _lack(ask, one) is None:
            able.setdefault(one.pool, []).append(one)
    return able


def none_ready(replicas: Sequence[Replica]) -> ApiError:
    found = [error for one in replicas if (error := not_ready(one.engine)) is not None]
    if not found:
        return unavailable("engine_stopped", "The engine has been stopped.", retry_after_s=1.0)
    return min(found, key=lambda error: (NEAREST.index(error.code), error.retry_after_s or 0.0))


def _lack(ask: Ask, replica: Replica) -> tuple[str, Lack] | None:
    return None if replica.capabilities is None else lacking(ask.needs, replica.capabilities)


def _cannot(ask: Ask, replica: Replica, *, elsewhere: bool) -> ApiError:
    found = _lack(ask, replica)
    field, why = ("", "") if found is None else (found[0], found[1].why)
    ways = [WAY_OUT.get(field, "leave it out")]
    if elsewhere:
        ways.append(f"send {FIELD} = 'auto'")
    kind = "with" if replica.pool == "speculative" else "without"
    return invalid(
        f"{field} cannot be served exactly {kind} speculation here: {why}; {' or '.join(ways)}.",
        param=field,
        code="unsupported_parameter",
    )


def _no_pool(ask: Ask) -> ApiError:
    pool = "speculative" if ask.mode == "on" else "plain"
    return invalid(
        f"{FIELD} is {ask.mode!r}, but there is no {pool} pool here; leave it out.",
        param=FIELD,
        code="unsupported_value",
    )

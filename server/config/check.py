"""What a configuration would run, without running it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from neuron.launch import Endpoint, expected, render
from neuron.stacks.capabilities import FEATURES
from server.config.plans import Plan, plan_all
from server.pools.needs import REQUESTED
from server.settings import Settings

SOCKET = Path("SOCKET")
"""In place of the one that each start makes anew."""


def report(settings: Settings) -> str:
    """For people. Raises SpecserveError for what could not run."""
    lines = [f"listens on http://{settings.host}:{settings.port}", _keys(settings)]
    for plan in plan_all(settings.engines):
        lines += ["", *_replica(plan)]
    return "\n".join(lines) + "\n"


def _keys(settings: Settings) -> str:
    if settings.keys_secret is not None:
        return f"API keys: of the secret {settings.keys_secret}, which was not read"
    ring = settings.key_source.load()
    return f"API keys: {len(ring.entries)}" if ring else "API keys: none, everyone is served"


def _replica(plan: Plan) -> Iterator[str]:
    yield f"replica {plan.config.name}, {plan.config.pool} pool"
    yield f"  cannot serve exactly: {_lacks(plan)}"
    if plan.pair is None:
        yield f"  uses {plan.config.url}"
        return
    command = render(
        plan.pair, Endpoint(uds=SOCKET), plain=plan.plain, find=expected, elsewhere=True
    )
    yield f"  starts pair {plan.pair.name}: {command.shell()}"


def _lacks(plan: Plan) -> str:
    if plan.capabilities is None:
        return "not known, so that its engine has to refuse"
    lacks = [one for one in FEATURES if one in REQUESTED and one in plan.capabilities.lacks]
    return ", ".join(lacks) or "nothing of what a request may ask"

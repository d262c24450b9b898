"""Which version of a contestant was measured."""

from __future__ import annotations

from importlib.metadata import distributions

from bench.gateway.contestants import PEERS, SPECSERVE, Contestant


def version_of(one: Contestant) -> str:
    paths = [str(path) for path in (PEERS / "lib").glob("python3*/site-packages")]
    found = (
        distributions(name=one.package)
        if one is SPECSERVE
        else distributions(name=one.package, path=paths)
    )
    return next((each.version for each in found), "unknown")

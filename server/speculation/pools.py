"""A pair of anything, one for each pool."""

from collections.abc import Callable
from typing import TypeVar

from server.usage import POOLS, Pool

T = TypeVar("T")


def other(pool: Pool) -> Pool:
    return "plain" if pool == "speculative" else "speculative"


def per_pool(make: Callable[[], T]) -> dict[Pool, T]:
    return {pool: make() for pool in POOLS}

"""The two pools of one target, and a pair of anything, one for each."""

from collections.abc import Callable
from typing import Final, Literal, TypeVar

Pool = Literal["speculative", "plain"]
POOLS: Final[tuple[Pool, Pool]] = ("speculative", "plain")

T = TypeVar("T")


def other(pool: Pool) -> Pool:
    return "plain" if pool == "speculative" else "speculative"


def per_pool(make: Callable[[], T]) -> dict[Pool, T]:
    return {pool: make() for pool in POOLS}

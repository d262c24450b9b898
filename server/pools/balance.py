"""Which replica of a pool: the least loaded one, or the one that knows how the prompt begins."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Protocol, TypeVar


class Loaded(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def outstanding(self) -> float:
        """Tokens it is expected to read and to write still."""
        ...


R = TypeVar("R", bound=Loaded)


def choose(replicas: Sequence[R], prefix: bytes, affinity_tokens: int) -> R:
    """Of at least one. `affinity_tokens` as in `server.config.sections.BalanceConfig`."""
    # By rank of the prefix, so that equally loaded ones do not all start with the same replica.
    ranked = sorted(replicas, key=lambda one: _weight(prefix, one.name), reverse=True)
    least = min(ranked, key=lambda one: one.outstanding)
    if ranked[0].outstanding < least.outstanding + affinity_tokens:
        return ranked[0]
    return least


def _weight(prefix: bytes, name: str) -> bytes:
    """Rendezvous: when a replica comes or goes, only its own prefixes move."""
    return blake2b(prefix, key=name.encode(), digest_size=8).digest()

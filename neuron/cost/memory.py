"""What a pair takes of a logical core's memory: neuron-reference.md §2.6 and §9."""

from __future__ import annotations

from dataclasses import dataclass

from neuron.catalogue import Geometry
from neuron.cost.parameters import Hardware
from neuron.cost.step import cache_bytes, head_bytes, layer_bytes

GIB = 2**30


@dataclass(frozen=True)
class Memory:
    """GiB per logical core."""

    weights: float
    cache: float
    overhead: float
    """The upper end of a guess."""
    overhead_least: float
    limit: float

    @property
    def total(self) -> float:
        return self.weights + self.cache + self.overhead

    @property
    def fits(self) -> bool:
        return self.total <= self.limit

    @property
    def tight(self) -> bool:
        """It fits only if graphs take less than they may: `neuron check` warns, plan leaves it."""
        least = self.weights + self.cache + self.overhead_least
        return not self.fits and least <= self.limit

    @property
    def mark(self) -> str:
        """What stands beside its figures."""
        return "modelled, tight" if self.tight else "modelled"


def memory(
    models: tuple[Geometry, ...], tp: int, *, batch: int, max_model_len: int, hardware: Hardware
) -> Memory:
    """Caches are as long as the pair allows, whatever is in them: NxDI allots them whole."""
    weights = sum(
        one.num_hidden_layers * layer_bytes(one, tp)
        # Embedding and head are two shards even where they are tied.
        + 2 * head_bytes(one, tp)
        for one in models
    )
    cache = sum(
        one.num_hidden_layers * cache_bytes(one, tp, positions=max_model_len, batch=batch)
        for one in models
    )
    return Memory(
        weights=weights / GIB,
        cache=cache / GIB,
        overhead=hardware.overhead.value,
        overhead_least=hardware.overhead_least.value,
        limit=hardware.hbm_core.value,
    )

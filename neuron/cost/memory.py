"""What a pair takes of a logical core's memory, for `neuron plan` and `neuron check` alike.

Shapes as NxDI cuts them (gqa.py, embedding and head apart). Modelled: nobody has measured it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from neuron.catalogue import Geometry
from neuron.cost.parameters import Hardware
from neuron.cost.step import WEIGHT_BYTES, cache_bytes, head_bytes, layer_bytes

GIB = 2**30
DTYPE_BYTES = {"bfloat16": 2, "auto": 2, "float32": 4}

Fit = Literal["fits", "tight", "too large"]
"""tight: it fits only if graphs, scratch and runtime take less than they may."""


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
    def least(self) -> float:
        return self.weights + self.cache + self.overhead_least

    @property
    def fit(self) -> Fit:
        if self.least > self.limit:
            return "too large"
        return "tight" if self.total > self.limit else "fits"

    @property
    def fits(self) -> bool:
        return self.fit == "fits"


def memory(
    models: Sequence[Geometry],
    tp: int,
    *,
    batch: int,
    max_model_len: int,
    hardware: Hardware,
    dtype: str = "bfloat16",
    lnc: int = 2,
) -> Memory:
    """Caches are as long as the pair allows, whatever is in them: NxDI allots them whole."""
    size = DTYPE_BYTES[dtype] / WEIGHT_BYTES / GIB
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
        weights=weights * size,
        cache=cache * size,
        overhead=hardware.overhead.value,
        overhead_least=hardware.overhead_least.value,
        # One bank is one core at LNC 2; at LNC 1 two cores share it.
        limit=hardware.hbm_core.value * lnc / 2,
    )

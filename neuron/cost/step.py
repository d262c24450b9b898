"""What one launch of the target or one pass of the draft takes: docs/plan.md has the equations."""

from __future__ import annotations

import math
from dataclasses import dataclass

from neuron.catalogue import Geometry
from neuron.cost.parameters import Coefficients, Hardware

WEIGHT_BYTES = 2
"""bf16."""
TILE_BYTES = 32 * 1024
"""128 × 128 weights in bf16: what the tensor engine holds at a time."""
PHYSICAL_PER_LOGICAL = 2
KAPPA_T_HIDDEN = 5120


@dataclass(frozen=True)
class Shard:
    """Heads of one logical core: KV is replicated up to TP, Q padded within each KV group.

    Source: NxDI 4bcdc54, modules/attention/gqa.py.
    """

    q: int
    kv: int

    @classmethod
    def of(cls, geometry: Geometry, tp: int) -> Shard:
        groups = geometry.num_key_value_heads
        q = math.ceil(geometry.num_attention_heads / tp)
        if tp % groups == 0:
            return cls(q=q, kv=1)
        # Where neither divides the other, NxDI falls back to a KV head per Q head.
        return cls(q=q, kv=groups // tp if groups % tp == 0 else q)


def layer_bytes(geometry: Geometry, tp: int) -> float:
    """Weights of one layer on one logical core."""
    shard = Shard.of(geometry, tp)
    attention = geometry.hidden_size * geometry.head_dim * 2 * (shard.q + shard.kv)
    mlp = 3 * geometry.hidden_size * geometry.intermediate_size / tp
    return WEIGHT_BYTES * (attention + mlp)


def head_bytes(geometry: Geometry, tp: int) -> float:
    """The LM head on one logical core; the embedding is as large."""
    return WEIGHT_BYTES * geometry.vocab_size * geometry.hidden_size / tp


def cache_bytes(geometry: Geometry, tp: int, *, positions: int, batch: int) -> float:
    """Keys and values of one layer on one logical core."""
    kv = Shard.of(geometry, tp).kv
    return 2 * WEIGHT_BYTES * kv * geometry.head_dim * positions * batch


@dataclass(frozen=True)
class Model:
    """The cost model with one set of coefficients."""

    hardware: Hardware
    coefficients: Coefficients

    def step_ms(
        self,
        geometry: Geometry,
        tp: int,
        *,
        batch: int,
        context: int,
        rows: int = 1,
        launched: bool = True,
    ) -> float:
        """`batch` sequences of `rows` tokens each over `context` positions.

        `launched` False: a pass inside a fused graph, which pays no launch.
        """
        c = self.coefficients
        hidden, layers = geometry.hidden_size, geometry.num_hidden_layers
        reduce = 2 * self._all_reduce_us(tp, message=WEIGHT_BYTES * batch * rows * hidden)
        weights = layer_bytes(geometry, tp)
        cached = cache_bytes(geometry, tp, positions=context, batch=batch)
        layer = (
            max(self._read_us(weights, c.eta.value), self._compute_us(weights, batch * rows))
            + self._read_us(cached, c.eta_kv.value)
            + c.l0.value
            + c.kappa_b.value * (batch - 1)
            + c.kappa_t.value * batch * (rows - 1) * hidden / KAPPA_T_HIDDEN
            + reduce
        )
        head = self._read_us(head_bytes(geometry, tp), c.eta.value) + reduce
        launch = c.t0.value if launched else 0.0
        return (launch + layers * layer + head) / 1000

    def _read_us(self, size: float, share: float) -> float:
        # 1 GB/s is 1000 bytes per µs.
        return size / (self.hardware.bw_core.value * 1000 * share)

    def _compute_us(self, weights: float, rows: int) -> float:
        tiles = weights / TILE_BYTES / PHYSICAL_PER_LOGICAL
        c = self.coefficients
        return tiles * (c.fill.value + rows) / (c.pe_ghz.value * 1000)

    def _all_reduce_us(self, tp: int, *, message: float) -> float:
        if tp == 1:
            return 0.0
        c = self.coefficients
        return c.a0.value + c.a1.value * math.log2(tp) + message / (c.bw_ar.value * 1000)

"""Rules on the memory of a logical core. All figures are modelled; nobody has measured them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from neuron.catalogue import Geometry
from neuron.check.findings import Finding, Rule
from neuron.check.heads import kv_heads, padded_heads
from neuron.check.subject import Subject
from neuron.cost.parameters import shipped
from neuron.evidence import SDK, source
from neuron.pair import Pair

GIB = 2**30
DTYPE_BYTES = {"bfloat16": 2, "auto": 2, "float32": 4}
ARCH = source(SDK, "about-neuron/arch/neuron-hardware/trainium2.rst", "I")

FULL = Rule(
    id="hbm",
    severity="error",
    what="weights and caches above the memory of a logical core",
    source=ARCH,
)
TIGHT = Rule(
    id="hbm-tight",
    severity="warning",
    what="weights and caches that leave less than graphs may need",
    source=ARCH,
)
RULES = (FULL, TIGHT)


@dataclass(frozen=True)
class Need:
    """GiB per logical core."""

    weights: float
    caches: float

    def __add__(self, other: Need) -> Need:
        return Need(self.weights + other.weights, self.caches + other.caches)

    @property
    def total(self) -> float:
        return self.weights + self.caches


def need_of(shape: Geometry, pair: Pair, tp: int) -> Need:
    """One model's share of one core: padded and replicated heads, head and embedding apart."""
    size, head = DTYPE_BYTES[pair.dtype], shape.head_dim
    queries = padded_heads(shape.num_attention_heads, tp) * head / tp
    keys = kv_heads(shape.num_attention_heads, shape.num_key_value_heads, tp) * head / tp
    layer = shape.hidden_size * (2 * queries + 2 * keys + 3 * shape.intermediate_size / tp)
    ends = 2 * shape.vocab_size * shape.hidden_size / tp
    positions = pair.max_num_seqs * pair.max_model_len
    return Need(
        weights=(shape.num_hidden_layers * layer + ends) * size / GIB,
        caches=2 * shape.num_hidden_layers * positions * keys * size / GIB,
    )


def check(subject: Subject) -> Iterator[Finding]:
    pair = subject.pair
    shapes = [side.geometry for side in subject.sides if side.geometry is not None]
    if not subject.on_neuron or pair.tp_degree is None or not shapes:
        return
    lnc = pair.lnc or 2
    hardware = shipped().hardware
    # Graphs, scratch and runtime: a guess, from its lower to its upper end.
    fewest, most = hardware.overhead_least.value, hardware.overhead.value
    # One bank is one core at LNC 2; at LNC 1 two cores share it.
    room = hardware.hbm_core.value * lnc / 2
    need = sum((need_of(shape, pair, pair.tp_degree) for shape in shapes), Need(0, 0))
    whole = need.total + fewest
    said = (
        f"Key 'tp_degree' = {pair.tp_degree} puts {need.weights:.1f} GiB of weights and "
        f"{need.caches:.1f} GiB of caches on each logical core, of {room:.0f} GiB (modelled)"
    )
    if whole > room:
        yield FULL(
            "tp_degree",
            f"{said}; raise it, or lower max_model_len = {pair.max_model_len} or max_num_seqs = "
            f"{pair.max_num_seqs}.",
        )
    elif need.total + most > room:
        yield TIGHT(
            "tp_degree",
            f"{said}, and graphs may take {fewest:.0f} to {most:.0f}; raise "
            "it, or lower max_model_len or max_num_seqs.",
        )

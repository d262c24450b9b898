"""Rules on how models are cut over logical cores."""

from __future__ import annotations

import math
from collections.abc import Iterator

from neuron.check.findings import Finding, Rule
from neuron.check.subject import Side, Subject
from neuron.cost.step import Shard
from neuron.evidence import NXDI, SDK, source
from neuron.stacks.nxdi_checks import CORES_AT_LNC2

GQA = source(NXDI, "modules/attention/gqa.py")
CORES_PER_CHIP = 8
"""Physical."""
MOST_CORES = max(CORES_AT_LNC2.values())
WHOLE_TORUS = (1, 4, 8, 16)

TP_MISSING = Rule(
    id="tp-missing",
    severity="error",
    what="a Neuron pair without `tp_degree`",
    source=source(NXDI, "models/config.py"),
)
CORES = Rule(
    id="tp-cores",
    severity="error",
    what="a TP above the instance's logical cores at its LNC",
    source=source(SDK, "about-neuron/arch/neuron-hardware/trn2-arch.rst", "D"),
)
INSTANCE = Rule(
    id="instance",
    severity="warning",
    what="an instance that is no Trainium2, or none at all",
    source=source(SDK, "about-neuron/arch/neuron-hardware/trn2-arch.rst", "D"),
)
CHIPS = Rule(
    id="tp-chips",
    severity="note",
    what="a number of chips that Kubernetes does not hand out on a torus",
    source=source(SDK, "deploy (scheduler extension)", "D"),
)
KV_HEADS = Rule(
    id="kv-heads",
    severity="warning",
    what="KV heads that a TP can neither divide nor replicate, so that each query head gets one",
    source=GQA,
)
Q_HEADS = Rule(
    id="q-heads",
    severity="note",
    what="query heads padded to a multiple of the TP",
    source=GQA,
)
INTERMEDIATE = Rule(
    id="intermediate-size",
    severity="error",
    what="an `intermediate_size` that the TP does not divide",
    source=source("aws-neuron/neuronx-distributed@fbac349", "parallel_layers/layers.py"),
)
LNC_QWEN2 = Rule(
    id="lnc-qwen2",
    severity="error",
    what="LNC 1 with Qwen2, whose compiler flags have no LNC",
    source=source(NXDI, "models/qwen2/modeling_qwen2.py"),
)
RULES = (TP_MISSING, CORES, INSTANCE, CHIPS, KV_HEADS, Q_HEADS, INTERMEDIATE, LNC_QWEN2)


def cores_of(instance: str | None, lnc: int | None) -> int | None:
    """Logical cores; None: an instance that is not known."""
    found = CORES_AT_LNC2.get(instance or "")
    return None if found is None else found * 2 // (lnc or 2)


def check(subject: Subject) -> Iterator[Finding]:
    if not subject.on_neuron:
        return
    yield from _cores(subject)
    pair, tp = subject.pair, subject.pair.tp_degree
    cores = cores_of(pair.instance, pair.lnc) or MOST_CORES
    for side in subject.sides:
        if tp is not None:
            yield from _shape(side, tp, cores)
        yield from _lnc(subject, side)


def _cores(subject: Subject) -> Iterator[Finding]:
    pair = subject.pair
    if pair.tp_degree is None:
        yield TP_MISSING(
            "tp_degree",
            "Key 'tp_degree' is missing, and graphs are compiled for it; set it to a number of "
            "logical cores.",
        )
        return
    lnc, cores = pair.lnc or 2, cores_of(pair.instance, pair.lnc)
    if cores is None:
        yield INSTANCE(
            "instance",
            f"Key 'instance' is {pair.instance or 'missing'}, so that cores and memory were not "
            f"compared with a machine's; set it to one of {', '.join(CORES_AT_LNC2)}.",
        )
        return
    if pair.tp_degree > cores:
        yield CORES(
            "tp_degree",
            f"Key 'tp_degree' is {pair.tp_degree}, and {pair.instance} has {cores} logical cores "
            f"at LNC {lnc}; set it to {cores} or less, or choose a larger instance.",
        )
        return
    chips = math.ceil(pair.tp_degree * lnc / CORES_PER_CHIP)
    if chips not in WHOLE_TORUS:
        yield CHIPS(
            "tp_degree",
            f"Key 'tp_degree' takes {chips} chips, and Kubernetes hands out "
            f"{', '.join(map(str, WHOLE_TORUS))}; on a plain host it may work, or choose another.",
        )


def _shape(side: Side, tp: int, cores: int) -> Iterator[Finding]:
    shape = side.geometry
    if shape is None:
        return
    heads, kv = shape.num_attention_heads, shape.num_key_value_heads
    padded = tp * Shard.of(shape, tp).q
    if heads != kv and kv % tp and tp % kv:
        yield KV_HEADS(
            "tp_degree",
            f"Key 'tp_degree' = {tp} and the {kv} KV heads of {side.ref} do not divide, so each of "
            f"{padded} query heads gets its own, in weights and caches; choose a "
            f"divisor or a multiple of {kv}.",
        )
    if padded > heads:
        share = round(100 * (padded - heads) / heads)
        yield Q_HEADS(
            "tp_degree",
            f"Key 'tp_degree' = {tp} pads the {heads} query heads of {side.ref} to {padded}, "
            f"{share} % more attention work; a divisor of {heads} has none.",
        )
    if shape.intermediate_size % tp:
        yield INTERMEDIATE(
            "tp_degree",
            f"Key 'tp_degree' = {tp} does not divide the intermediate_size "
            f"{shape.intermediate_size} of {side.ref}; choose a divisor of it, such as "
            f"{math.gcd(shape.intermediate_size, cores)}.",
        )


def _lnc(subject: Subject, side: Side) -> Iterator[Finding]:
    qwen2 = side.geometry is not None and side.geometry.model_type == "qwen2"
    if subject.over_nxdi and qwen2 and subject.pair.lnc == 1:
        yield LNC_QWEN2(
            "lnc",
            f"Key 'lnc' is 1, but NxDI compiles {side.ref}, a Qwen2, without an LNC of its own, "
            "which is then 2; set it to 2.",
        )

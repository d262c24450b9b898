"""Rules on the memory of a logical core. All figures are modelled; nobody has measured them."""

from __future__ import annotations

from collections.abc import Iterator

from neuron.check.findings import Finding, Rule
from neuron.check.subject import Subject
from neuron.cost.memory import memory
from neuron.cost.parameters import shipped
from neuron.evidence import SDK, source

ARCH = source(SDK, "about-neuron/arch/neuron-hardware/trainium2.rst", "I")

FULL = Rule(
    id="hbm",
    severity="error",
    what="weights and caches too large for the memory of a logical core",
    source=ARCH,
)
TIGHT = Rule(
    id="hbm-tight",
    severity="warning",
    what="weights and caches that leave less than graphs may need",
    source=ARCH,
)
RULES = (FULL, TIGHT)


def check(subject: Subject) -> Iterator[Finding]:
    pair = subject.pair
    shapes = [side.geometry for side in subject.sides if side.geometry is not None]
    if not subject.on_neuron or pair.tp_degree is None or not shapes:
        return
    need = memory(
        shapes,
        pair.tp_degree,
        batch=pair.max_num_seqs,
        max_model_len=pair.max_model_len,
        hardware=shipped().hardware,
        dtype=pair.dtype,
        lnc=pair.lnc or 2,
    )
    if need.fit == "fits":
        return
    way_out = (
        f"raise it, or lower max_model_len = {pair.max_model_len} or max_num_seqs = "
        f"{pair.max_num_seqs}"
    )
    if need.weights + need.overhead_least > need.limit:
        way_out = "raise it, on a larger instance if need be: no caches are small enough"
    rule = FULL if need.fit == "too large" else TIGHT
    yield rule(
        "tp_degree",
        f"Key 'tp_degree' = {pair.tp_degree} puts {need.weights:.1f} GiB of weights and "
        f"{need.cache:.1f} GiB of caches on each logical core, which with the "
        f"{need.overhead_least:.0f} to {need.overhead:.0f} GiB that graphs take is {need.fit} for "
        f"its {need.limit:.0f} GiB (modelled); {way_out}.",
    )

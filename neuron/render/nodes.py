"""What of a Trainium2 node one engine gets on Kubernetes, where a device is a whole chip."""

from __future__ import annotations

from dataclasses import dataclass

from neuron.errors import PairError
from neuron.pair import Pair
from neuron.stacks.nxdi_checks import CORES_AT_LNC2

CORES_PER_CHIP = 4
"""Logical ones at LNC 2."""
GROUPS = (1, 4, 8, 16)
"""Chips that are neighbours: AWS's scheduler extension and its DRA driver give no other number."""
CPU_SHARE = 0.94
MEMORY_SHARE = 0.9
"""What is left of a node for pods, less a little: AWS's own manifests ask for 90 of 96 CPUs."""


@dataclass(frozen=True)
class Node:
    cpus: int
    memory_gib: int


NODES = {
    "trn2.3xlarge": Node(12, 128),
    "trn2.48xlarge": Node(192, 2048),
    "trn2u.48xlarge": Node(192, 2048),
}


@dataclass(frozen=True)
class Share:
    instance: str
    chips: int
    of_chips: int
    """In the whole node."""
    lnc: int
    cpus: int
    memory_gib: int


def share_of(pair: Pair) -> Share:
    """CPUs and memory in proportion to the chips. Raises PairError in one sentence."""
    node = NODES.get(pair.instance or "")
    if node is None or pair.instance is None:
        raise PairError(
            f"Key 'instance' in pair {pair.name!r}: {pair.instance!r} is no node that is known for "
            f"Kubernetes; set it to one of {', '.join(NODES)}."
        )
    lnc = pair.lnc or 2
    cores = CORES_PER_CHIP * 2 // lnc
    all_chips = CORES_AT_LNC2[pair.instance] // CORES_PER_CHIP
    possible = [size for size in GROUPS if size <= all_chips]
    chips = (pair.tp_degree or 0) / cores
    if chips not in possible:
        raise PairError(
            f"Key 'tp_degree' in pair {pair.name!r}: {pair.tp_degree} cores at lnc {lnc} are "
            f"{chips:g} chips, and on {pair.instance} Kubernetes gives an engine "
            f"{_or(possible)} of them; set it to {_or([size * cores for size in possible])}."
        )
    part = chips / all_chips
    return Share(
        instance=pair.instance,
        chips=int(chips),
        of_chips=all_chips,
        lnc=lnc,
        cpus=int(node.cpus * part * CPU_SHARE),
        memory_gib=int(node.memory_gib * part * MEMORY_SHARE),
    )


def _or(numbers: list[int]) -> str:
    *most, last = map(str, numbers)
    return f"{', '.join(most)} or {last}" if most else last

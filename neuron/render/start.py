"""How long an engine's start may take, from what its artefact's manifest says it took."""

from __future__ import annotations

import math
from dataclasses import dataclass

from neuron.artefacts.catalogue import holdings
from neuron.artefacts.manifest import Manifest
from neuron.artefacts.store import Store
from neuron.pair import Pair

MARGIN = 2.0
"""Times the measured load: the measuring host did nothing else."""
LEAST_S = 300
UNMEASURED_S = {"cpu": 600, "nxdi": 1800, "vllm-neuron": 17100}
"""cpu: the gateway's own limit. nxdi: an artefact is loaded, 60 probes of 30 s. vllm-neuron: it may
compile as it starts, for which AWS's manifests allow 570 probes of 30 s."""
DRAIN_S = 620
"""The chart's engine.drainSeconds: gateways miss an engine from when its pod begins to end."""


@dataclass(frozen=True)
class Budget:
    seconds: int
    why: str


def budget(pair: Pair, *, plain: bool, store: Store | None) -> Budget:
    """Raises what reading `store` raises; None: nothing is known."""
    manifest = None if store is None else newest(store, pair, plain=plain)
    if manifest is None or manifest.times.load_s is None:
        return Budget(UNMEASURED_S[pair.stack], "nobody has told how long a start takes")
    load_s = manifest.times.load_s
    machine = f" on {manifest.times.machine}" if manifest.times.machine else ""
    return Budget(
        max(LEAST_S, math.ceil(MARGIN * load_s)),
        f"{MARGIN:g} times the {load_s:.0f} s that artefact {manifest.id[:12]} took{machine}, "
        f"{LEAST_S} s at least",
    )


def overdue_s(start_s: float) -> float:
    """How long gateways may miss an engine that may take `start_s` to start.

    Earlier, each rollout with a long stream would look like an engine that cannot start; later,
    Kubernetes has given up on one start already. The pulls of a new node are not in it.
    """
    return DRAIN_S + start_s


def newest(store: Store, pair: Pair, *, plain: bool) -> Manifest | None:
    """Of the pair's name, with or without its draft; which versions compiled it does not matter."""
    speculates = pair.draft is not None and not plain
    found = [
        held.manifest
        for held in holdings(store, "artefacts")
        if held.published and held.manifest and held.manifest.name == pair.name
        if held.manifest.key and held.manifest.key.speculates == speculates
    ]
    return max(found, key=lambda manifest: manifest.created, default=None)

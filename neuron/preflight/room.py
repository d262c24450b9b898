"""Whether a pair fits: cores, topology, shared memory, disk and limits."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from neuron.check.heads import WHOLE_TORUS
from neuron.check.subject import side_of
from neuron.evidence import EKS, SDK, source
from neuron.pair import Pair
from neuron.preflight.devices import Device, chips_of, visible
from neuron.preflight.host import UNLIMITED, Host
from neuron.preflight.survey import Line

GIB = 2**30
SHARED = "/dev/shm"  # noqa: S108 - looked at, not written
SHARED_GIB = 16
"""AWS's manifests give 128; one process drives all cores, so less is thought to be enough [I]."""
WORK_GIB = 50
"""The compiler's work beside the sharded weights [I]."""
OPEN_FILES = 4096

DOCKER = source(SDK, "deploy (containers)", "I")
RUNTIME = source(SDK, "neuron-runtime/guides/configuration-guide.rst", "D")


def lines(host: Host, devices: list[Device] | None, pair: Pair | None) -> Iterator[Line]:
    if devices and pair is not None and pair.tp_degree is not None:
        yield cores(host, devices, pair.tp_degree)
        yield topology(host, devices, pair.tp_degree)
    yield shared_memory(host)
    if pair is not None and pair.artefacts is not None:
        yield disk(host, pair)
    yield from limits(host)


def cores(host: Host, devices: list[Device], tp: int) -> Line:
    have = len(visible(host, devices))
    if have >= tp:
        return Line(id="cores", state="ok", found=f"{have} visible, {tp} needed", source=RUNTIME)
    given = host.env.get("NEURON_RT_VISIBLE_CORES")
    return Line(
        id="cores",
        state="failed",
        found=f"{have} visible, {tp} needed",
        fix=f"NEURON_RT_VISIBLE_CORES is {given!r}: give it {tp} cores that are there."
        if given
        else f"Give the container more devices, or take a pair of TP {have} or less.",
        source=RUNTIME,
    )


def topology(host: Host, devices: list[Device], tp: int) -> Line:
    """Whether the chips that the degree takes are linked with one another."""
    where = source(SDK, "about-neuron/arch/neuron-hardware/trn2-arch.rst", "D")
    per_chip = max(device.nc_count for device in devices)
    taken = visible(host, devices)[:tp]
    used = chips_of(devices, taken)
    chips = {device.neuron_device: set(device.connected_to or []) for device, _ in used}
    if len(taken) < tp:
        needed = math.ceil(tp / per_chip) if per_chip else 0
        return Line(
            id="topology",
            state="unknown",
            found=f"{len(chips)} of the {needed} chips are there",
            source=where,
        )
    needed = len(chips)
    reached, waiting = set[int](), list(chips)[:1]
    while waiting:
        chip = waiting.pop()
        reached.add(chip)
        waiting += [other for other in chips[chip] if other in chips and other not in reached]
    if len(reached) < len(chips):
        return Line(
            id="topology",
            state="failed",
            found=f"of {needed} chips only {len(reached)} are linked with the first",
            fix="Ask for devices that are neighbours: the scheduler extension, or a DRA claim with "
            "one device group.",
            source=where,
        )
    if needed not in WHOLE_TORUS:
        return Line(
            id="topology",
            state="warning",
            found=f"{needed} chips, linked",
            fix=f"Kubernetes hands out {', '.join(map(str, WHOLE_TORUS))} chips; use such a "
            "number there.",
            source=where,
        )
    return Line(id="topology", state="ok", found=f"{needed} chips, linked", source=where)


def shared_memory(host: Host) -> Line:
    size = host.total_bytes(host.at(SHARED))
    where = source(EKS, "speculative_decoding_trn2_vllm/qwen-sd-vllm-deploy.yaml", "I")
    if size is None:
        return Line(id="shm", state="unknown", found=f"{SHARED} cannot be sized", source=where)
    found = f"{SHARED} has {size / GIB:.1f} GiB"
    if size >= SHARED_GIB * GIB:
        return Line(id="shm", state="ok", found=found, source=where)
    return Line(
        id="shm",
        state="warning",
        found=found,
        fix=f"Give {SHARED_GIB} GiB: --shm-size in Docker, an emptyDir of medium Memory in "
        "Kubernetes.",
        source=where,
    )


def disk(host: Host, pair: Pair) -> Line:
    """Sharded weights of both models and the compiler's work, modelled."""
    folder = Path(str(pair.artefacts)).expanduser()
    free = host.free_bytes(folder)
    sides = [side_of("target", pair.target)]
    if pair.draft is not None:
        sides.append(side_of("draft", pair.draft))
    weights = sum(side.geometry.parameters() * 2 for side in sides if side.geometry) / GIB
    needed = weights + WORK_GIB
    where = source(SDK, "libraries/nxd-inference/developer_guides/weights-sharding-guide.rst", "I")
    if free is None:
        return Line(id="disk", state="unknown", found=f"{folder} cannot be sized", source=where)
    found = f"{folder} has {free / GIB:.0f} GiB free, {needed:.0f} needed (modelled)"
    if free / GIB >= needed:
        return Line(id="disk", state="ok", found=found, source=where)
    return Line(
        id="disk",
        state="failed",
        found=found,
        fix="Set artefacts to a folder on local NVMe with that much room.",
        source=where,
    )


def limits(host: Host) -> Iterator[Line]:
    files, locked = host.limits.open_files, host.limits.locked_memory
    enough = files == UNLIMITED or files >= OPEN_FILES
    yield Line(
        id="open-files",
        state="ok" if enough else "warning",
        found="unlimited" if files == UNLIMITED else str(files),
        fix=None if enough else f"Raise it: ulimit -n {OPEN_FILES}.",
        source=DOCKER,
    )
    free = locked == UNLIMITED
    yield Line(
        id="locked-memory",
        state="ok" if free else "warning",
        found="unlimited" if free else f"{locked // 1024} KiB",
        fix=None if free else "Lift it: --ulimit memlock=-1 in Docker, ulimit -l unlimited.",
        source=DOCKER,
    )

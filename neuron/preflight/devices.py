"""The devices, and what neuron-ls says of them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from neuron.evidence import SDK, source
from neuron.pair import Pair
from neuron.preflight.host import Host
from neuron.preflight.survey import Line

NEURON_LS = source(SDK, "tools/neuron-sys-tools/neuron-ls.rst", "D")
SYSFS = source(SDK, "tools/neuron-sys-tools/neuron-sysfs-user-guide.rst", "D")
ARCHITECTURE = "/sys/devices/virtual/neuron_device/neuron0/info/architecture"
VISIBLE = "NEURON_RT_VISIBLE_CORES"
LNC_FILE = "/opt/aws/neuron/logical_nc_config"


class Process(BaseModel):
    model_config = ConfigDict(extra="ignore")

    pid: int
    command: str = ""


class Device(BaseModel):
    """One chip, as neuron-ls -j has it."""

    model_config = ConfigDict(extra="ignore")

    neuron_device: int
    nc_count: Annotated[int, Field(ge=0)]
    """Logical cores."""
    logical_neuroncore_config: int = 2
    connected_to: list[int] | None = None
    neuron_processes: list[Process] = []


DEVICES = TypeAdapter(list[Device])


def listed(host: Host) -> list[Device] | None:
    """None: neuron-ls is not there, or says something else than its documentation."""
    text = host.run(["neuron-ls", "-j"])
    if text is None:
        return None
    try:
        return DEVICES.validate_python(_devices_of(json.loads(text)))
    except (ValueError, ValidationError):
        return None


def _devices_of(raw: Any) -> Any:  # noqa: ANN401 - whatever the tool printed
    """Its documentation shows a list; an object with the list inside is taken too."""
    if isinstance(raw, dict):
        return next((value for value in raw.values() if isinstance(value, list)), raw)
    return raw


def present(host: Host) -> Line:
    nodes = host.glob("/dev/neuron[0-9]*")
    where = source(SDK, "deploy (containers need the device nodes)", "D")
    if not nodes:
        return Line(
            id="device",
            state="failed",
            found="no /dev/neuron0",
            fix="Run on a trn2 instance with the driver; in Docker give --device=/dev/neuron0 and "
            "so on, in Kubernetes ask for aws.amazon.com/neuron.",
            source=where,
        )
    closed = [node.name for node in nodes if not os.access(node, os.R_OK | os.W_OK)]
    if closed:
        return Line(
            id="device",
            state="failed",
            found=f"{len(nodes)} devices, of which {', '.join(closed)} may not be opened",
            fix="Run as a user that may read and write /dev/neuron*.",
            source=where,
        )
    return Line(id="device", state="ok", found=f"{len(nodes)} devices", source=where)


def instance(host: Host, pair: Pair | None) -> Line:
    kind = host.read(f"{ARCHITECTURE}/instance_type")
    name = host.read(f"{ARCHITECTURE}/device_name")
    if kind is None:
        return Line(
            id="instance",
            state="unknown",
            found="sysfs names no instance type",
            source=SYSFS,
        )
    found = f"{kind}, {name or 'device without a name'}"
    family = ((pair.instance if pair else None) or "trn2").split(".")[0].rstrip("u")
    if not kind.lower().startswith(family):
        return Line(
            id="instance",
            state="failed",
            found=found,
            fix=f"Run on {(pair.instance if pair else None) or 'a trn2 instance'}.",
            source=SYSFS,
        )
    return Line(id="instance", state="ok", found=found, source=SYSFS)


def visible(host: Host, devices: list[Device]) -> list[int]:
    """Logical cores that an engine started here would see, by the host's own numbers.

    Empty where NEURON_RT_VISIBLE_CORES is no list of cores.
    """
    every = range(sum(device.nc_count for device in devices))
    given = host.env.get(VISIBLE, "")
    chosen: set[int] = set()
    for piece in filter(None, given.split(",")):
        first, _, last = piece.partition("-")
        if not first.strip().isdecimal() or not (last or first).strip().isdecimal():
            return []
        chosen.update(core for core in every if int(first) <= core <= int(last or first))
    return sorted(chosen) if given else list(every)


def chips_of(devices: list[Device], cores: list[int]) -> list[tuple[Device, int]]:
    """The devices that hold `cores`, and how many of them; cores are numbered device by device."""
    held = []
    start = 0
    for device in sorted(devices, key=lambda device: device.neuron_device):
        count = len(set(cores) & set(range(start, start + device.nc_count)))
        start += device.nc_count
        if count:
            held.append((device, count))
    return held


def busy(host: Host, devices: list[Device]) -> Line:
    """Of the chips with a visible core only: another engine may have the rest of the host."""
    seen = chips_of(devices, visible(host, devices))
    holders = [(device, cores) for device, cores in seen if device.neuron_processes]
    if not holders:
        found = "no process holds a core" + (" of the visible ones" if VISIBLE in host.env else "")
        return Line(id="busy", state="ok", found=found, source=NEURON_LS)
    by_pid = {one.pid: one.command for device, _ in holders for one in device.neuron_processes}
    said = ", ".join(f"{pid} ({command[:40]})" for pid, command in sorted(by_pid.items()))
    if all(cores < device.nc_count for device, cores in holders):
        # neuron-ls names the process of a chip, not its cores.
        return Line(
            id="busy",
            state="warning",
            found=f"process {said} is on a chip of which only some cores are visible here",
            fix=f"See that its own {VISIBLE} are others than {host.env.get(VISIBLE)!r}.",
            source=NEURON_LS,
        )
    return Line(
        id="busy",
        state="failed",
        found=f"cores are held by process {said}",
        fix="End that engine, or its orphaned worker, by its process id; or give this one other "
        f"cores with {VISIBLE}.",
        source=NEURON_LS,
    )


def lnc(host: Host, devices: list[Device], pair: Pair | None) -> Line:
    wanted = (pair.lnc if pair else None) or 2
    have = {device.logical_neuroncore_config for device in devices}
    found = f"LNC {', '.join(map(str, sorted(have)))}"
    if have == {wanted}:
        return Line(id="lnc", state="ok", found=found, source=NEURON_LS)
    written = host.read(LNC_FILE)
    return Line(
        id="lnc",
        state="failed",
        found=f"{found}, and {f'pair {pair.name!r}' if pair else 'Qwen2'} needs {wanted}",
        fix=f"Set NEURON_LOGICAL_NC_CONFIG={wanted}, on the host in {LNC_FILE}"
        + (f", which holds {written!r}." if written else "."),
        source=source(SDK, "about-neuron/arch/neuron-features/logical-neuroncore-config.rst", "D"),
    )


def lines(host: Host, devices: list[Device] | None, pair: Pair | None) -> Iterator[Line]:
    yield present(host)
    yield instance(host, pair)
    if devices is None:
        yield Line(
            id="neuron-ls",
            state="failed",
            found="neuron-ls -j is not there or printed no list of devices",
            fix="Install aws-neuronx-tools, or run inside the Neuron image, which has it.",
            source=NEURON_LS,
        )
        return
    cores = sum(device.nc_count for device in devices)
    yield Line(
        id="neuron-ls",
        state="ok",
        found=f"{len(devices)} devices, {cores} logical cores",
        source=NEURON_LS,
    )
    if devices:
        yield busy(host, devices)
        yield lnc(host, devices, pair)

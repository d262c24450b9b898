"""Which versions compile: installed ones, those of an image by its SDK, or those that are given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from types import MappingProxyType

from neuron.artefacts.errors import UnknownVersionError
from neuron.pair import Pair

COMPILERS = (
    "neuronx-cc",
    "torch-neuronx",
    "neuronx-distributed",
    "neuronx-distributed-inference",
    "nki",
)

SDK: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "2.31.1": MappingProxyType(
            {
                "neuronx-cc": "2.26.6360.0",
                "torch-neuronx": "2.9.0.2.15.32035",
                "neuronx-distributed": "0.19.28492",
                "neuronx-distributed-inference": "0.10.18399",
                "nki": "0.5.0",
                "vllm-neuron": "0.5.3",
            }
        )
    }
)
"""Pins of the image `0.16.0-neuronx-py312-sdk2.31.1`, read in its Dockerfile in AWS's repository
deep-learning-containers."""
STATED = MappingProxyType({"nxdi": "2.31.1"})
"""The SDK that a stack is for. A statement about the image, not about a machine."""

Installed = Callable[[str], str | None]


@dataclass(frozen=True)
class Versions:
    packages: Mapping[str, str]
    source: str
    """Where they were taken from, for the reader."""
    measured: bool
    """Whether the packages of this machine say so."""


def installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def packages_of(pair: Pair, *, plain: bool) -> tuple[str, ...]:
    """What must be known of the stack that compiles this pair."""
    ours = pair.plugin == "specserve" and not plain
    return (*COMPILERS, "specserve" if ours else "vllm-neuron")


def versions_of(
    pair: Pair,
    *,
    plain: bool,
    given: Sequence[str] = (),
    look: Installed = installed,
) -> Versions:
    """`given`: an SDK release (`2.31.1`) and `package=version`, which win over a release's.

    Raises UnknownVersionError where a package's version is neither installed, stated nor given,
    and where what is given is not what is installed: nothing is guessed.
    """
    wanted = packages_of(pair, plain=plain)
    here = {name: found for name in wanted if (found := look(name)) is not None}
    # Our own package is on any machine that runs this; the compiler is not.
    measured = any(name in here for name in COMPILERS)
    stated = _given(given)
    if measured or given:
        known = {**stated, **here} if not measured else here
        source = "installed here" if measured else f"--neuron-version {' '.join(given)}"
    else:
        sdk = STATED.get(pair.stack)
        known = {**(SDK[sdk] if sdk else {}), **here}
        source = f"stated by the stack {pair.stack}, SDK {sdk}, and not read on this machine"
    missing = [name for name in wanted if name not in known]
    if missing:
        raise UnknownVersionError(
            f"The versions of {', '.join(missing)} are not known here: run this in the Neuron "
            f"image, or give --neuron-version with an SDK release ({', '.join(SDK)}) or with "
            f"{missing[0]}=VERSION."
        )
    for name, value in stated.items():
        if measured and name in here and here[name] != value:
            raise UnknownVersionError(
                f"--neuron-version says {name} {value}, but {here[name]} is installed: leave the "
                "option out, or run this in the image that you mean."
            )
    return Versions({name: known[name] for name in wanted}, source, measured)


def _given(options: Sequence[str]) -> dict[str, str]:
    stated: dict[str, str] = {}
    single: dict[str, str] = {}
    for option in options:
        name, equals, value = option.partition("=")
        if equals and name and value:
            single[name] = value
        elif option in SDK:
            stated |= SDK[option]
        else:
            raise UnknownVersionError(
                f"--neuron-version {option} is no SDK release that is known here "
                f"({', '.join(SDK)}): give its packages instead, as in neuronx-cc=2.26.6360.0."
            )
    return stated | single

"""The stacks by name, and which of them a machine has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from neuron.evidence import FORK, SDK, source
from neuron.pair import Pair
from neuron.stacks import cpu, legacy, nxdi, vllm_neuron
from neuron.stacks.capabilities import Capabilities, Lack

if TYPE_CHECKING:
    from neuron.launch import Endpoint


class Stack(Protocol):
    """What every stack's module has."""

    def capabilities(self, pair: Pair, *, plain: bool) -> Capabilities: ...

    def recognise(self, packages: Mapping[str, str]) -> bool:
        """`packages`: installed distributions and their versions."""
        ...


class NeuronStack(Stack, Protocol):
    def arguments(
        self, pair: Pair, endpoint: Endpoint, target: Path, draft: Path | None
    ) -> list[str]: ...

    def environment(self, pair: Pair, target: Path, draft: Path | None) -> dict[str, str]: ...


NEURON_STACKS: Mapping[str, NeuronStack] = MappingProxyType(
    {"nxdi": nxdi, "vllm-neuron": vllm_neuron, "legacy": legacy}
)
STACKS: Mapping[str, Stack] = MappingProxyType({"cpu": cpu, **NEURON_STACKS})


UNCHECKED: Mapping[str, Lack] = MappingProxyType(
    {
        "vllm-neuron": Lack(
            why="its cache is keyed by what it traces as it starts, which nobody can work out "
            "beforehand, and what is not in there it compiles without a word; allow each start "
            "the time",
            source=source(SDK, "vllm-neuron/docs/design/compilation/compilation_cache.md", "D"),
        ),
        "legacy": Lack(
            why="what it compiles has no manifest of ours, and what lies in its folder it loads as "
            "it is, compiled for whatever weights and versions; set another 'artefacts' for others",
            source=source(FORK, "vllm/model_executor/model_loader/neuronx_distributed.py"),
        ),
    }
)
"""Stacks whose launch compares no artefact with the pair."""


def unchecked(pair: Pair) -> str | None:
    """A sentence for who launches `pair`; None: its artefact is checked, or it has none."""
    lack = UNCHECKED.get(pair.stack)
    if lack is None:
        return None
    return (
        f"Key 'stack' is {pair.stack!r}, so nothing compiled is checked before a launch: "
        f'{lack.why}, or set stack to "nxdi".'
    )


def capabilities(pair: Pair, *, plain: bool = False) -> Capabilities:
    """Of the pair's engine, or with `plain` of the same target's without speculation."""
    return STACKS[pair.stack].capabilities(pair, plain=plain or pair.draft is None)


def recognised(packages: Mapping[str, str]) -> list[str]:
    """Names of the stacks that these distributions belong to: one on a machine that is right."""
    return [name for name, stack in STACKS.items() if stack.recognise(packages)]

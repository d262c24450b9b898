"""The stacks by name, and which of them a machine has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from neuron.pair import Pair
from neuron.stacks import cpu, legacy, nxdi, vllm_neuron
from neuron.stacks.capabilities import Capabilities

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


def capabilities(pair: Pair, *, plain: bool = False) -> Capabilities:
    """Of the pair's engine, or with `plain` of the same target's without speculation."""
    return STACKS[pair.stack].capabilities(pair, plain=plain or pair.draft is None)


def recognised(packages: Mapping[str, str]) -> list[str]:
    """Names of the stacks that these distributions belong to: one on a machine that is right."""
    return [name for name, stack in STACKS.items() if stack.recognise(packages)]

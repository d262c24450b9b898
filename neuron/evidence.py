"""Where a statement about hardware or other software comes from, and of what kind it is."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from pydantic import BaseModel, ConfigDict

Tag = Literal["C", "D", "M", "X", "I"]

TAGS: Mapping[Tag, str] = MappingProxyType(
    {
        "C": "read in source code",
        "D": "said by the vendor's documentation",
        "M": "measured and published by somebody",
        "X": "executed on a CPU, or follows from this repository's own code and tests",
        "I": "inferred; nobody has tried it",
    }
)

NOT_RUN = "not run on a device by us"
"""The mark of whatever no test of this repository has seen on a Neuron device."""

NXDI = "aws-neuron/neuronx-distributed-inference@4bcdc54"
AWS_PLUGIN = "whn09/vllm-neuron@3afb0a9 (AWS's plugin 0.5.0)"
BETA = "jinhuang12/vllm-neuron@ed3580d (vLLM Neuron Beta 0.24)"
FORK = "aws-neuron/upstreaming-to-vllm@dd417b3"
TNX = "aws-neuron/transformers-neuronx@1ade6d7"
SDK = "aws-neuron/aws-neuron-sdk@81ce03a"
EKS = "aws-neuron/aws-neuron-eks-samples@cecff9e"
VLLM_016 = "vllm-project/vllm v0.16.0"
VLLM_CPU = "vllm-project/vllm v0.32.0"
OURS = "this repository"


class Source(BaseModel):
    """A public place that a reader can open."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    where: str
    tag: Tag

    def __str__(self) -> str:
        return f"{self.where} [{self.tag}]"


def source(repository: str, place: str, tag: Tag = "C") -> Source:
    return Source(where=f"{repository} {place}", tag=tag)

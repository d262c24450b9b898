"""transformers-neuronx: recognised so that it can be refused. It is no stack; no pair names it.

AWS ended it with SDK 2.26. It did have sampled speculation on the device, but no Qwen of any kind.
"""

from __future__ import annotations

from collections.abc import Mapping

from neuron.evidence import TNX, source

PACKAGE = "transformers-neuronx"
MODELS = ("Bloom", "GPT-2", "GPT-NeoX", "GPT-J", "Llama", "Mistral", "Mixtral", "OPT")
SOURCE = source(TNX, "src/transformers_neuronx/")


def recognise(packages: Mapping[str, str]) -> bool:
    return PACKAGE in packages


def refusal() -> str:
    """Why it cannot run any of our pairs, and what can."""
    return (
        f"{PACKAGE} knows {', '.join(MODELS)} and no Qwen, and was ended with SDK 2.26: use the "
        "image of the stack nxdi, or of the stack legacy for AWS's published benchmark"
    )

"""The cost model that docs/plan.md describes. Nothing it says was measured on Trainium by us."""

from neuron.cost.memory import Memory, memory
from neuron.cost.observation import Observation, published
from neuron.cost.parameters import Parameters, load_parameters, shipped
from neuron.cost.speculation import MAX_K, Costs, Loop, Setup, loop_of, tokens_per_step
from neuron.cost.step import Model

__all__ = [
    "MAX_K",
    "Costs",
    "Loop",
    "Memory",
    "Model",
    "Observation",
    "Parameters",
    "Setup",
    "load_parameters",
    "loop_of",
    "memory",
    "published",
    "shipped",
    "tokens_per_step",
]

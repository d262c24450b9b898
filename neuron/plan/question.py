"""What `neuron plan` is asked, checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from neuron.catalogue import Geometry
from neuron.cost import MAX_K, Loop, Parameters
from neuron.cost.parameters import Instance, Workload
from neuron.errors import PairError
from neuron.shapes import shape_of

ASSUMED_ACCEPTANCE = 0.8
DEGREES = (1, 2, 4, 8, 16, 32, 64)
BATCHES = (1, 4, 16)


@dataclass(frozen=True)
class Acceptance:
    """The chance that a draft is the target's token, given that all before it in the step were."""

    value: float
    low: float
    high: float
    status: str

    @classmethod
    def given(cls, value: float) -> Acceptance:
        return cls(value, value, value, "given")

    @classmethod
    def assumed(cls) -> Acceptance:
        return cls(*(ASSUMED_ACCEPTANCE,) * 3, "assumed, as neither it nor a workload was given")

    @classmethod
    def expected(cls, name: str, workload: Workload) -> Acceptance:
        low, high = workload.acceptance
        status = f"{workload.status} for {name}, {low:.2f} to {high:.2f}"
        return cls((low + high) / 2, low, high, status)


@dataclass(frozen=True)
class Named:
    ref: str
    geometry: Geometry


@dataclass(frozen=True)
class Question:
    target: Named
    draft: Named
    instance_name: str
    instance: Instance
    price: float
    """$/h of one instance."""
    acceptance: Acceptance
    degrees: tuple[int, ...]
    batches: tuple[int, ...]
    ks: tuple[int, ...]
    context: int
    """Positions in the cache while a step runs."""
    max_model_len: int
    """Positions that the cache is allotted for."""
    loop: Loop
    slo_tpot_ms: float | None
    parameters: Parameters

    @property
    def cores(self) -> int:
        return round(self.instance.cores.value)


def instance_of(parameters: Parameters, name: str) -> Instance:
    """Raises PairError."""
    found = parameters.instances.get(name)
    if found is None:
        known = ", ".join(parameters.instances)
        raise PairError(f"--instance {name}: it is not known; known are {known}.")
    return found


def acceptance_of(parameters: Parameters, given: float | None, workload: str | None) -> Acceptance:
    """Raises PairError."""
    if given is not None:
        return Acceptance.given(given)
    if workload is None:
        return Acceptance.assumed()
    return Acceptance.expected(workload, workload_of(parameters, workload))


def workload_of(parameters: Parameters, name: str) -> Workload:
    """Raises PairError."""
    found = parameters.workloads.get(name)
    if found is None:
        known = ", ".join(parameters.workloads)
        raise PairError(f"--workload {name}: it is not known; known are {known}.")
    return found


def models_of(target: str, draft: str) -> tuple[Named, Named]:
    """Raises PairError for two models that cannot be a pair."""
    pair = Named(target, shape_of(target)), Named(draft, shape_of(draft))
    large, small = (one.geometry for one in pair)
    if large.model_type != small.model_type:
        raise PairError(
            f"--draft {draft} is a {small.model_type} and --target {target} a {large.model_type}: "
            "their special tokens differ; choose a draft of the target's family."
        )
    return pair


def degrees_of(asked: Sequence[int], cores: int, instance: str) -> tuple[int, ...]:
    """Raises PairError."""
    for degree in asked:
        if degree not in DEGREES or degree > cores:
            legal = ", ".join(str(one) for one in DEGREES if one <= cores)
            raise PairError(f"--tp {degree}: choose from {legal} on {instance}.")
    return tuple(sorted(set(asked))) or tuple(one for one in DEGREES if one <= cores)


def ks_of(asked: Sequence[int]) -> tuple[int, ...]:
    """Raises PairError."""
    for k in asked:
        if not 1 <= k <= MAX_K:
            raise PairError(f"--k {k}: drafts per step are 1 to {MAX_K} (NxDI's k is one more).")
    return tuple(sorted(set(asked))) or tuple(range(1, MAX_K + 1))

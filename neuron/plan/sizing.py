"""How many instances a rate needs, queueing included."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from neuron.cost import Model
from neuron.plan.candidates import Candidate
from neuron.plan.question import Question
from neuron.plan.simulate import Outcome, Service, Traffic, simulate

MIN_REQUESTS, MAX_REQUESTS = 2000, 20_000
REQUESTS_PER_SLOT = 10
"""So that the count is of a running system and not of one that fills."""
SPARE = 4
"""Beyond so many times what saturation asks for, a shortfall is not of capacity."""
MAX_ENGINES = 128
"""Simulated at once: a larger fleet is many such groups, each with its share of the arrivals."""
BUSY = 0.95
"""The most that is asked of an engine: nearer to saturation no run is long enough for the queue."""
PRECISION = 100
"""The search ends within one part in so many."""


@dataclass(frozen=True)
class Load:
    rate_per_s: float
    prompt_tokens: int
    output_tokens: int
    slo_ttft_ms: float
    """For 95 % of requests; without it a queue could grow unseen."""


@dataclass(frozen=True)
class Sized:
    candidate: Candidate
    service: Service
    instances: int | None
    """None: no number of them meets the limits."""
    outcome: Outcome
    """With `instances` of them, or with the most that were tried."""
    utilisation: float
    """Of what they could finish at saturation."""

    @property
    def dollars_per_h(self) -> float | None:
        return None if self.instances is None else self.instances * self.candidate.price


def service_of(question: Question, load: Load, one: Candidate) -> Service:
    """The prefill is a step of as many rows as the prompt has tokens: beyond what was fitted."""
    model = Model(question.parameters.hardware, question.parameters.calibrated)

    def prefill(target: bool) -> float:
        named = question.target if target else question.draft
        return model.step_ms(
            named.geometry,
            one.tp,
            batch=1,
            context=load.prompt_tokens,
            rows=load.prompt_tokens,
            launched=target,
        )

    return Service(
        slots=one.batch,
        step_ms=one.costs.step_ms(one.k) if one.pays else one.costs.plain_ms,
        prefill_ms=prefill(True) + (prefill(False) if one.pays else 0.0),
        k=one.k if one.pays else 0,
        acceptance=question.acceptance.value,
    )


def least_instances(question: Question, load: Load, one: Candidate) -> int:
    """Fewer could not finish what arrives, or only just."""
    engine = service_of(question, load, one).saturation_per_s(load.output_tokens)
    return max(1, math.ceil(load.rate_per_s / (BUSY * one.replicas * engine)))


def size(question: Question, load: Load, one: Candidate) -> Sized:
    """The least number of instances whose simulated traffic keeps both limits."""
    service = service_of(question, load, one)
    per_instance = one.replicas * service.saturation_per_s(load.output_tokens)
    least = least_instances(question, load, one)
    most = SPARE * least + SPARE
    tried: dict[int, Outcome] = {}

    def keeps(instances: int) -> bool:
        tried[instances] = _simulated(service, load, instances * one.replicas)
        return _within(question, load, tried[instances])

    found = _smallest(keeps, least, most)
    shown = most if found is None else found
    return Sized(
        candidate=one,
        service=service,
        instances=found,
        outcome=tried[shown],
        utilisation=load.rate_per_s / (per_instance * shown),
    )


def _simulated(service: Service, load: Load, engines: int) -> Outcome:
    group = min(engines, MAX_ENGINES)
    rate = load.rate_per_s * group / engines
    # Only slots that are in use need to be filled.
    busy = min(group * service.slots, _in_flight(service, load) * group / engines)
    wanted = round(REQUESTS_PER_SLOT * busy)
    traffic = Traffic(
        rate_per_s=rate,
        output_tokens=load.output_tokens,
        requests=min(max(MIN_REQUESTS, wanted), MAX_REQUESTS),
    )
    return simulate(service, traffic, group)


def _in_flight(service: Service, load: Load) -> float:
    """Little's law on an unhurried request."""
    stay_ms = service.prefill_ms + load.output_tokens * service.tpot_ms()
    return load.rate_per_s * stay_ms / 1000


def _within(question: Question, load: Load, outcome: Outcome) -> bool:
    tpot = question.slo_tpot_ms
    if tpot is not None and outcome.tpot_p95_ms > tpot:
        return False
    return outcome.ttft_p95_ms <= load.slo_ttft_ms


def _smallest(keeps: Callable[[int], bool], least: int, most: int) -> int | None:
    """By bisection: more instances never make a limit harder to keep."""
    if not keeps(most):
        return None
    low, high = least, most
    while high - low > least // PRECISION:
        middle = (low + high) // 2
        if keeps(middle):
            high = middle
        else:
            low = middle + 1
    return high

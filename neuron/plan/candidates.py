"""The rows of the plan: one for each degree and batch that fits, at its best K."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from neuron.cost import Costs, Memory, Model, Parameters, Setup, memory
from neuron.cost.parameters import Coefficients
from neuron.errors import PairError
from neuron.plan.question import Named, Question

UNCERTAIN = ("eta_kv", "kappa_t", "bw_ar")
"""Assumed coefficients, each tried at half and at double."""


@dataclass(frozen=True)
class Range:
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Candidate:
    tp: int
    replicas: int
    """Engines per instance."""
    batch: int
    k: int
    """The best K for the acceptance asked about, though plain may be faster."""
    plain_memory: Memory
    """Of the target alone, which fits."""
    memory: Memory
    """With the draft, which may be tight or too large."""
    costs: Costs
    speculative_ms: float
    """TPOT with K drafts; plain is `costs.plain_ms`."""
    speedup: Range
    """Over refits without each published point, assumed coefficients, and acceptance."""
    price: float

    @property
    def pays(self) -> bool:
        """Speculation is worth it only where there is room and the whole range says so."""
        return self.memory.fits and self.speedup.low > 1

    @property
    def tpot_ms(self) -> float:
        return self.speculative_ms if self.pays else self.costs.plain_ms

    def tokens_per_s(self, tpot_ms: float) -> float:
        """Of an instance with every slot taken; prefill is left out."""
        return self.replicas * self.batch * 1000 / tpot_ms

    def dollars_per_million(self, tpot_ms: float) -> float:
        return self.price / (self.tokens_per_s(tpot_ms) * 3600) * 1e6

    @property
    def cost(self) -> float:
        return self.dollars_per_million(self.tpot_ms)


@dataclass(frozen=True)
class Misfit:
    """Tight or too large even without the draft, and so left out."""

    tp: int
    batch: int
    memory: Memory


@dataclass(frozen=True)
class Grid:
    candidates: tuple[Candidate, ...]
    misfits: tuple[Misfit, ...]


def grid(question: Question) -> Grid:
    """Raises PairError if nothing fits."""
    model = Model(question.parameters.hardware, question.parameters.calibrated)
    others = [Model(question.parameters.hardware, one) for one in variants(question.parameters)]
    candidates: list[Candidate] = []
    misfits: list[Misfit] = []
    for tp in question.degrees:
        for batch in question.batches:
            alone = _memory(question, tp, batch, question.target)
            if alone.fits:
                candidates.append(_candidate(question, tp, batch, model, others))
            else:
                misfits.append(Misfit(tp, batch, alone))
    if not candidates:
        least = min(misfits, key=lambda one: one.memory.total)
        raise PairError(
            f"--target {question.target.ref} fits no asked degree on {question.instance_name}: "
            f"without a draft the least is {least.memory.total:.1f} GiB per core of "
            f"{least.memory.limit:.0f} (modelled, {least.memory.fit}, TP {least.tp}, "
            f"batch {least.batch}); raise --tp, lower --batch or "
            "--max-model-len, or take a larger instance."
        )
    return Grid(tuple(candidates), tuple(misfits))


def variants(parameters: Parameters) -> Iterator[Coefficients]:
    """Other sets that the evidence allows as well."""
    calibrated = parameters.calibrated
    for fitted in parameters.leave_one_out.values():
        yield calibrated.changed(**fitted.model_dump())
    for name in UNCERTAIN:
        value = getattr(calibrated, name).value
        yield calibrated.changed(**{name: value / 2})
        # A share of the bandwidth cannot pass 1.
        doubled = min(2 * value, 1.0) if name == "eta_kv" else 2 * value
        yield calibrated.changed(**{name: doubled})


def _memory(question: Question, tp: int, batch: int, *models: Named) -> Memory:
    return memory(
        tuple(one.geometry for one in models),
        tp,
        batch=batch,
        max_model_len=question.max_model_len,
        hardware=question.parameters.hardware,
    )


def _candidate(
    question: Question, tp: int, batch: int, model: Model, others: list[Model]
) -> Candidate:
    setup = Setup(question.target.geometry, question.draft.geometry, tp, batch, question.context)
    costs = Costs.of(model, setup, loop=question.loop)
    accepted = question.acceptance
    k = costs.best_k(accepted.value, question.ks)
    tried = [costs, *(Costs.of(other, setup, loop=question.loop, max_k=k) for other in others)]
    ends = [
        one.speedup(rate, k)
        for one in tried
        for rate in (accepted.low, accepted.value, accepted.high)
    ]
    return Candidate(
        tp=tp,
        replicas=question.cores // tp,
        batch=batch,
        k=k,
        plain_memory=_memory(question, tp, batch, question.target),
        memory=_memory(question, tp, batch, question.target, question.draft),
        costs=costs,
        speculative_ms=costs.tpot_ms(accepted.value, k),
        speedup=Range(costs.speedup(accepted.value, k), min(ends), max(ends)),
        price=question.price,
    )

"""Which candidate, and why in a line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from neuron.cost import tokens_per_step
from neuron.cost.speculation import passes
from neuron.plan.candidates import Candidate
from neuron.plan.question import Question

Goal = Literal["latency", "cost", "slo"]


@dataclass(frozen=True)
class Choice:
    goal: Goal
    candidate: Candidate | None
    """None: nothing meets the SLO."""
    reason: str


def choices(question: Question, candidates: tuple[Candidate, ...]) -> tuple[Choice, ...]:
    """The best for latency, for cost and, where one is given, under the SLO."""
    fastest = min(candidates, key=lambda one: (one.tpot_ms, one.cost))
    cheapest = min(candidates, key=lambda one: (one.cost, one.tpot_ms))
    found = [
        Choice("latency", fastest, _reason(question, fastest, "the least time per token")),
        Choice("cost", cheapest, _reason(question, cheapest, "the least cost per token")),
    ]
    if question.slo_tpot_ms is not None:
        found.append(_under(question, question.slo_tpot_ms, candidates, fastest))
    return tuple(found)


def speculates(candidates: tuple[Candidate, ...]) -> bool:
    return any(one.pays for one in candidates)


def _under(
    question: Question, slo_ms: float, candidates: tuple[Candidate, ...], fastest: Candidate
) -> Choice:
    meeting = [one for one in candidates if one.tpot_ms <= slo_ms]
    if not meeting:
        reason = (
            f"nothing here meets {slo_ms:g} ms: the fastest is {fastest.tpot_ms:.1f} ms (modelled, "
            f"TP {fastest.tp}, batch {fastest.batch}); a draft of higher acceptance or with fewer "
            "layers may"
        )
        return Choice("slo", None, reason)
    best = min(meeting, key=lambda one: (one.cost, one.tpot_ms))
    return Choice("slo", best, _reason(question, best, f"the cheapest within {slo_ms:g} ms"))


def _reason(question: Question, one: Candidate, why: str) -> str:
    figures = f"{one.tpot_ms:.1f} ms, ${one.cost:.2f} per million tokens (modelled), {why}"
    return f"{figures}; {speculation(question, one)}"


def speculation(question: Question, one: Candidate) -> str:
    """Whether to speculate there, and the sum behind it."""
    if not one.memory.fits:
        need = one.memory
        return (
            f"do not speculate: with the draft it takes {need.total:.1f} GiB per core of "
            f"{need.limit:.0f} (modelled), {need.fit}; without it {one.plain_memory.total:.1f}"
        )
    speedup = one.speedup
    between = f"{speedup.value:.2f}x ({speedup.low:.2f} to {speedup.high:.2f})"
    emitted = tokens_per_step(question.acceptance.value, one.k)
    price = one.costs.step_ms(one.k) / one.costs.plain_ms
    drafting = passes(one.k, question.loop)
    plural = "" if drafting == 1 else "es"
    sum_ = (
        f"a step with K = {one.k} emits {emitted:.2f} tokens and costs {price:.2f} plain steps "
        f"({drafting} draft pass{plural} of {one.costs.draft_ms:.1f} ms on "
        f"{one.costs.plain_ms:.1f} ms)"
    )
    if one.pays:
        return f"speculate, {between}: {sum_}"
    if speedup.value <= 1:
        return f"do not speculate, {between} at the best K: {sum_}"
    return f"do not speculate, {between} may be a loss: {sum_}"

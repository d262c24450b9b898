"""A question with everything that was worked out for it."""

from __future__ import annotations

from dataclasses import dataclass

from neuron.errors import PairError
from neuron.plan.candidates import Candidate, Grid, grid
from neuron.plan.choice import Choice, Goal, choices
from neuron.plan.question import Question
from neuron.plan.sizing import Load, Sized, least_instances, size


@dataclass(frozen=True)
class Answer:
    question: Question
    grid: Grid
    choices: tuple[Choice, ...]
    load: Load | None
    sized: tuple[Sized, ...]
    """Fewest instances first; empty without a load."""

    def chosen(self, goal: Goal | None) -> Candidate:
        """The candidate for a goal; None: under the SLO if one was given, else for latency.

        Raises PairError if there is none.
        """
        if goal is None:
            goal = "latency" if self.question.slo_tpot_ms is None else "slo"
        found = next((one for one in self.choices if one.goal == goal), None)
        if found is None:
            raise PairError("--choose slo: there is no SLO to choose by; give --slo-tpot.")
        if found.candidate is None:
            raise PairError(
                f"--slo-tpot {self.question.slo_tpot_ms:g}ms: {found.reason}; write the pair for "
                "another goal with --choose latency or --choose cost."
            )
        return found.candidate


def answer(question: Question, load: Load | None) -> Answer:
    """Raises PairError if nothing fits the instance."""
    rows = grid(question)
    found = choices(question, rows.candidates)
    sized = () if load is None else _sized(question, load, rows.candidates, found)
    return Answer(question, rows, found, load, sized)


def _sized(
    question: Question, load: Load, candidates: tuple[Candidate, ...], found: tuple[Choice, ...]
) -> tuple[Sized, ...]:
    """The chosen ones, and whichever of all needs the fewest instances."""
    chosen = dict.fromkeys(one.candidate for one in found if one.candidate is not None)
    sized = {one: size(question, load, one) for one in chosen}
    best = min(sized.values(), key=_order)
    slo = question.slo_tpot_ms
    others = [one for one in candidates if one not in sized and (slo is None or one.tpot_ms <= slo)]
    for one in sorted(others, key=lambda one: least_instances(question, load, one)):
        if best.instances is not None and best.instances <= least_instances(question, load, one):
            break
        best = min(best, size(question, load, one), key=_order)
    return tuple(sorted({**sized, best.candidate: best}.values(), key=_order))


def _order(one: Sized) -> tuple[bool, int, float]:
    return one.instances is None, one.instances or 0, one.outcome.tpot_p95_ms

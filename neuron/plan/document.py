"""The plan as one JSON object. Keys say what is modelled."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from neuron.plan.answer import Answer
from neuron.plan.candidates import Candidate
from neuron.plan.choice import speculates
from neuron.plan.sizing import Sized


def document(answer: Answer) -> dict[str, Any]:
    asked = answer.question
    return {
        "target": asked.target.ref,
        "draft": asked.draft.ref,
        "instance": asked.instance_name,
        "dollars_per_hour": asked.price,
        "acceptance": asdict(asked.acceptance),
        "context": asked.context,
        "max_model_len": asked.max_model_len,
        "loop": asked.loop,
        "slo_tpot_ms": asked.slo_tpot_ms,
        "speculate": speculates(answer.grid.candidates),
        "candidates": [_candidate(one) for one in answer.grid.candidates],
        "left_out": [
            {
                "tp": one.tp,
                "batch": one.batch,
                "modelled_gib_per_core": one.memory.total,
                "modelled_fit": one.memory.fit,
            }
            for one in answer.grid.misfits
        ],
        "choices": [
            {
                "goal": one.goal,
                "tp": one.candidate.tp if one.candidate else None,
                "batch": one.candidate.batch if one.candidate else None,
                "k": _k(one.candidate) if one.candidate else None,
                "reason": one.reason,
            }
            for one in answer.choices
        ],
        "load": asdict(answer.load) if answer.load else None,
        "sized": [_sized(one) for one in answer.sized],
    }


def _k(one: Candidate) -> int:
    """0: plain."""
    return one.k if one.pays else 0


def _candidate(one: Candidate) -> dict[str, Any]:
    def way(tpot_ms: float) -> dict[str, float]:
        return {
            "tpot_ms": tpot_ms,
            "tokens_per_s_per_instance": one.tokens_per_s(tpot_ms),
            "dollars_per_million_tokens": one.dollars_per_million(tpot_ms),
        }

    return {
        "tp": one.tp,
        "engines": one.replicas,
        "batch": one.batch,
        "k": one.k,
        "speculate": one.pays,
        "modelled_memory_gib_per_core": {**asdict(one.memory), "total": one.memory.total},
        "modelled_plain_memory_gib_per_core": {
            **asdict(one.plain_memory),
            "total": one.plain_memory.total,
        },
        "modelled_speculative_fit": one.memory.fit,
        "modelled_plain": way(one.costs.plain_ms),
        "modelled_speculative": way(one.speculative_ms),
        "modelled_draft_pass_ms": one.costs.draft_ms,
        "modelled_step_ms": one.costs.step_ms(one.k),
        "modelled_speedup": asdict(one.speedup),
    }


def _sized(one: Sized) -> dict[str, Any]:
    return {
        "tp": one.candidate.tp,
        "batch": one.candidate.batch,
        "k": one.service.k,
        "instances": one.instances,
        "dollars_per_hour": one.dollars_per_h,
        "modelled_utilisation": one.utilisation,
        "modelled": asdict(one.outcome),
    }

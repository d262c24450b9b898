"""The plan as text. Every number of a Trainium in it is modelled, and says so."""

from __future__ import annotations

from collections.abc import Sequence

from neuron.plan.answer import Answer
from neuron.plan.candidates import Candidate, Misfit
from neuron.plan.choice import speculates
from neuron.plan.places import align_command
from neuron.plan.sizing import Load, Sized

HEADS = (
    ("TP", ""),
    ("engines", ""),
    ("batch", ""),
    ("K", ""),
    ("GiB/core", "modelled"),
    ("plain ms", "modelled"),
    ("spec. ms", "modelled"),
    ("speedup (range)", "modelled"),
    ("tok/s", "modelled"),
    ("$/Mtok", "modelled"),
    ("speculate", ""),
)
GOALS = {"latency": "Latency", "cost": "Cost", "slo": "SLO"}


def text(answer: Answer) -> str:
    lines = [*_head(answer), "", *columns([HEADS_TOP, HEADS_LOW, *_rows(answer)]), ""]
    if not speculates(answer.grid.candidates):
        room = all(one.memory.fits for one in answer.grid.candidates)
        why = "is sure to be faster" if room else "has room for it and is sure to be faster"
        lines.append(f"Do not speculate with this draft here: no row above {why}.")
    for choice in answer.choices:
        one = choice.candidate
        where = f"TP {one.tp}, batch {one.batch}: " if one else ""
        lines.append(f"{GOALS[choice.goal]}: {where}{choice.reason}.")
    lines += _misfits(answer.grid.misfits)
    if answer.load is not None:
        lines += _load(answer, answer.load)
    return "\n".join([*lines, *_notes(answer)])


HEADS_TOP = tuple(top for top, _ in HEADS)
HEADS_LOW = tuple(low for _, low in HEADS)


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Right-aligned, two spaces between."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _head(answer: Answer) -> list[str]:
    asked = answer.question
    accepted = asked.acceptance
    return [
        f"{asked.target.ref} + {asked.draft.ref} on {asked.instance_name} at ${asked.price:g}/h, "
        f"acceptance {accepted.value:.3g} ({accepted.status}), context {asked.context}",
        "All times, memory, rates and costs here are modelled (docs/plan.md); nobody has "
        "measured this pair on a Trainium.",
    ]


def _rows(answer: Answer) -> list[tuple[str, ...]]:
    return [_row(one) for one in answer.grid.candidates]


def _row(one: Candidate) -> tuple[str, ...]:
    speedup = one.speedup
    return (
        str(one.tp),
        str(one.replicas),
        str(one.batch),
        str(one.k),
        f"{(one.memory if one.memory.fits else one.plain_memory).total:.1f}",
        f"{one.costs.plain_ms:.1f}",
        f"{one.speculative_ms:.1f}",
        f"{speedup.value:.2f} ({speedup.low:.2f}-{speedup.high:.2f})",
        f"{one.tokens_per_s(one.tpot_ms):.0f}",
        f"{one.cost:.2f}",
        "yes" if one.pays else "no" if one.memory.fits else one.memory.fit,
    )


def _misfits(misfits: tuple[Misfit, ...]) -> list[str]:
    lines = []
    for fit, end in (
        ("tight", "; `neuron check` warns of it, so it is left out"),
        ("too large", ""),
    ):
        # The first of a degree is its smallest batch.
        first = {one.tp: one for one in reversed(misfits) if one.memory.fit == fit}
        if first:
            each = ", ".join(
                f"TP {tp} from batch {one.batch} "
                f"({one.memory.least:.1f} to {one.memory.total:.1f} GiB)"
                for tp, one in sorted(first.items())
            )
            limit = misfits[0].memory.limit
            said = f"{fit.capitalize()} for a core's {limit:.0f} GiB (modelled), draft or not"
            lines.append(f"{said}: {each}{end}.")
    return lines


def _load(answer: Answer, load: Load) -> list[str]:
    slo = answer.question.slo_tpot_ms
    limit = "" if slo is None else f", TPOT {slo:g} ms"
    return [
        "",
        f"For {load.rate_per_s:g} requests/s of {load.prompt_tokens} + {load.output_tokens} "
        f"tokens, 95 % within TTFT {load.slo_ttft_ms:g} ms{limit} (simulated on modelled times):",
        *map(_sized, answer.sized),
    ]


def _sized(one: Sized) -> str:
    which = f"TP {one.candidate.tp}, batch {one.candidate.batch}, " + (
        f"K = {one.service.k}" if one.service.k else "plain"
    )
    figures = (
        f"TTFT p95 {one.outcome.ttft_p95_ms:.0f} ms, TPOT p95 {one.outcome.tpot_p95_ms:.2f} ms "
        f"(modelled), {one.utilisation:.0%} of saturation"
    )
    if one.instances is None:
        return f"  {which}: no number of instances keeps the limits; at the most tried, {figures}"
    plural = "" if one.instances == 1 else "s"
    price = f"${one.dollars_per_h:.2f}/h"
    return f"  {which}: {one.instances} instance{plural} ({price}), {figures}"


def _notes(answer: Answer) -> list[str]:
    asked = answer.question
    lines = [
        "",
        f"K is drafts per step; tok/s and $/Mtok are of a full instance, without prefill, in the "
        f"better way of the two. The loop is {asked.loop}: "
        + ("K+1 draft passes per step." if asked.loop == "nxdi" else "K draft passes per step."),
    ]
    if not all(one.memory.fits for one in answer.grid.candidates):
        lines.append(
            "Tight or too large: with the draft, so its row is of the plain engine; `neuron check` "
            "warns of the one and refuses the other."
        )
    large, small = asked.target.geometry.vocab_size, asked.draft.geometry.vocab_size
    if large != small:
        way = "padded" if small < large else "cut"
        lines.append(
            f"The draft's vocabulary is {small} and the target's {large}, which vLLM refuses: "
            f"`{align_command(asked)}` writes a copy {way} to {large} rows (docs/align.md)."
        )
    return lines

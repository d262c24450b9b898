"""The pair that was chosen, ready for `neuron launch`."""

from __future__ import annotations

from pathlib import Path

from neuron.errors import PairError
from neuron.pair import Pair
from neuron.plan.candidates import Candidate
from neuron.plan.places import draft_place, name_of, place_of
from neuron.plan.question import Question

ARTEFACTS = "/nvme/specserve"
PROMPT_SHARE = 0.75
"""Of the longest sequence: as in the pairs that ship."""


def pair_of(question: Question, one: Candidate) -> Pair:
    """A plain pair, without a draft, where speculation does not pay.

    The plain engine is AWS's: compiled greedy, and without grammars (neuron/stacks/nxdi_aws.py).
    """
    target = name_of(question.target)
    fields = {
        "name": f"{target}-tp{one.tp}" + ("" if one.pays else "-plain"),
        "stack": "nxdi",
        "target": place_of(question.target),
        "draft": draft_place(question) if one.pays else None,
        "num_draft_tokens": one.k,
        "max_model_len": question.max_model_len,
        "max_prompt_len": int(question.max_model_len * PROMPT_SHARE),
        "max_num_seqs": one.batch,
        "dtype": "bfloat16",
        "prefix_caching": False,
        "tool_call_parser": "hermes" if one.pays else None,
        "served_model_name": target,
        "instance": question.instance_name,
        "tp_degree": one.tp,
        "lnc": 2,
        "sampling": "any" if one.pays else "greedy",
        "artefacts": ARTEFACTS,
    }
    return Pair.model_validate(fields)


def write(question: Question, one: Candidate, path: Path) -> None:
    """Raises PairError if `path` cannot be written."""
    pair = pair_of(question, one)
    way = f"K = {one.k}, {one.speedup.value:.2f}x" if one.pays else "without speculation"
    head = (
        f"# Written by `neuron plan`: {one.tpot_ms:.1f} ms per token (modelled), {way}, at an "
        f"acceptance of {question.acceptance.value:.3g}.\n# Has not run on a device.\n"
    )
    try:
        path.write_text(head + pair.to_toml(), encoding="utf-8")
    except OSError as error:
        raise PairError(f"--write {path}: {error.strerror}; name a file that can be made.") from (
            error
        )

"""Rules on `--speculative-config` of a launch line, where K and NxDI's k are mixed up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from neuron.check.findings import Finding, Rule
from neuron.check.given import speculative
from neuron.check.models import TIED_HUB_ID
from neuron.check.subject import Subject, is_hub_id, side_of
from neuron.evidence import AWS_PLUGIN, BETA, OURS, VLLM_016, source

FLAG = "--speculative-config"

METHOD = Rule(
    id="speculative-method",
    severity="error",
    what="a `--speculative-config` whose method is missing, or none that the stack runs",
    source=source(VLLM_016, "config/speculative.py"),
)
COUNT = Rule(
    id="speculative-tokens",
    severity="error",
    what="`num_speculative_tokens` that is not the pair's K, in the stack's own count",
    source=source(AWS_PLUGIN, "worker/neuronx_distributed_model_loader.py"),
)
DEGREE = Rule(
    id="speculative-tp",
    severity="error",
    what="a TP of the draft's own, which vLLM refuses or NxDI ignores",
    source=source(VLLM_016, "config/speculative.py"),
)
LENGTH = Rule(
    id="speculative-length",
    severity="error",
    what="a `max_model_len` of the draft above the pair's",
    source=source(VLLM_016, "config/speculative.py"),
)
WITHOUT = Rule(
    id="speculative-plain",
    severity="error",
    what="a `--speculative-config` beside a pair without a draft",
    source=source(OURS, "neuron/pair.py: everything is derived from the pair", "X"),
)
RULES = (METHOD, COUNT, DEGREE, LENGTH, WITHOUT)

METHODS = {
    "cpu": ("draft_model",),
    "nxdi": ("draft_model",),
    "vllm-neuron": ("eagle3",),
    # The fork fuses a plain draft whatever the word; AWS's manifest says eagle.
    "legacy": ("eagle", "draft_model"),
}


def check(subject: Subject) -> Iterator[Finding]:
    config = speculative(subject.line)
    if config is None:
        return
    yield from _method(subject, config)
    if subject.draft is None:
        yield WITHOUT(
            FLAG,
            f"Flag {FLAG} is given, and pair {subject.pair.name!r} has no draft; leave the flag "
            "out, or give the pair a draft.",
        )
        return
    yield from _count(subject, config)
    yield from _limits(subject, config)
    yield from _hub_id(subject, config)


def _method(subject: Subject, config: Mapping[str, Any]) -> Iterator[Finding]:
    methods, given = METHODS[subject.pair.stack], config.get("method")
    if given in methods or (given is None and subject.pair.stack == "legacy"):
        return
    said = "has no method" if given is None else f"has the method {given!r}"
    beta = subject.pair.stack == "vllm-neuron"
    where = source(BETA, "vllm_neuron/vllm/worker/neuron_model_runner.py") if beta else None
    yield METHOD(
        f"{FLAG} method",
        f"Flag {FLAG} {said}, and the {subject.pair.stack} stack runs {methods[0]!r}: set "
        f'"method" to "{methods[0]}"' + (" with an EAGLE3 head." if beta else "."),
        source=where,
    )


def _count(subject: Subject, config: Mapping[str, Any]) -> Iterator[Finding]:
    drafts, rows = subject.pair.num_draft_tokens, subject.rows
    counts_target = subject.capabilities.counts_target
    wanted = rows if counts_target else drafts
    given = config.get("num_speculative_tokens")
    if given == wanted:
        return
    counted = (
        "this stack counts the target's own token" if counts_target else "it counts drafts only"
    )
    yield COUNT(
        f"{FLAG} num_speculative_tokens",
        f"Flag {FLAG} has num_speculative_tokens {given}, and for the pair's num_draft_tokens = "
        f"{drafts} it is {wanted}, since {counted}; set it to {wanted}.",
    )


def _limits(subject: Subject, config: Mapping[str, Any]) -> Iterator[Finding]:
    if "tensor_parallel_size" in config:
        yield DEGREE(
            f"{FLAG} tensor_parallel_size",
            f"Flag {FLAG} has tensor_parallel_size, which vLLM does not take there; leave it out: "
            "the draft runs at the target's degree.",
        )
    degree = config.get("draft_tensor_parallel_size")
    if degree not in (None, 1, subject.pair.tp_degree):
        yield DEGREE(
            f"{FLAG} draft_tensor_parallel_size",
            f"Flag {FLAG} has draft_tensor_parallel_size {degree}, and vLLM takes 1 or the "
            f"target's {subject.pair.tp_degree}; leave it out, since NxDI ignores it.",
        )
    length = config.get("max_model_len")
    if isinstance(length, int) and length > subject.pair.max_model_len:
        yield LENGTH(
            f"{FLAG} max_model_len",
            f"Flag {FLAG} has max_model_len {length}, above the pair's "
            f"{subject.pair.max_model_len}; leave it out.",
        )


def _hub_id(subject: Subject, config: Mapping[str, Any]) -> Iterator[Finding]:
    ref = config.get("model")
    if not subject.over_nxdi or not isinstance(ref, str) or not is_hub_id(ref):
        return
    shape = side_of("draft", ref).geometry
    if shape is not None and shape.tie_word_embeddings:
        yield TIED_HUB_ID(
            f"{FLAG} model",
            f"Flag {FLAG} names the hub id {ref} of a model with tied embeddings, which fails to "
            "load (a copy out of a meta tensor): give its folder.",
        )

"""Rules on the two models: that each is known, of a family the stack has, and that they match."""

from __future__ import annotations

from collections.abc import Iterator

from neuron.check.findings import Finding, Rule
from neuron.check.subject import Side, Subject, is_hub_id, side_of
from neuron.evidence import AWS_PLUGIN, BETA, FORK, NXDI, OURS, SDK, VLLM_016, VLLM_CPU, source

VLLM_CHECK = "config/speculative.py verify_equal_vocab_size_if_draft_model"

VOCABULARY = Rule(
    id="vocabulary",
    severity="error",
    what="draft and target of different vocabulary sizes",
    source=source(VLLM_016, VLLM_CHECK),
)
VOCABULARY_LEGACY = Rule(
    id="vocabulary-legacy",
    severity="warning",
    what="different vocabulary sizes on the legacy stack, which does not look",
    source=source(FORK, "vllm/model_executor/model_loader/neuronx_distributed.py", "I"),
)
FAMILY = Rule(
    id="family",
    severity="error",
    what="a model type that the stack has no class for",
    source=source(NXDI, "models/qwen2, models/qwen3"),
)
MIXED = Rule(
    id="family-mixed",
    severity="error",
    what="a draft of another family than the target's",
    source=source(NXDI, "models/model_base.py NeuronFusedSpecModel", "I"),
)
DEPTH = Rule(
    id="draft-depth",
    severity="note",
    what="a draft nearly as deep as its target, which is what a step costs by",
    source=source(SDK, "libraries/nxd-inference/tutorials (fitted to its tables)", "I"),
)
TIED_HUB_ID = Rule(
    id="hub-id-tied",
    severity="error",
    what="a hub id of a model with tied embeddings on a launch line",
    source=source(SDK, "libraries/nxd-inference/developer_guides/vllm-user-guide-v1.rst", "D"),
)
HUB_ID = Rule(
    id="hub-id",
    severity="warning",
    what="a hub id of a model with tied embeddings in a pair",
    source=source(AWS_PLUGIN, "worker/neuronx_distributed_model_loader.py"),
)
CONFIG = Rule(
    id="model-config",
    severity="error",
    what="a `config.json` that is no dense decoder's",
    source=source(OURS, "neuron/catalogue.py", "X"),
)
UNKNOWN = Rule(
    id="model-unknown",
    severity="warning",
    what="a model with no `config.json` here and no name of the catalogue",
    source=source(OURS, "neuron/catalogue.toml", "X"),
)
MISSING = Rule(
    id="model-missing",
    severity="error",
    what="a bare name that is not known, or a folder on this machine without a `config.json`",
    source=source(OURS, "neuron/models.py", "X"),
)
GUESSED = Rule(
    id="model-by-name",
    severity="note",
    what="a folder that is not on this machine, judged by its name",
    source=source(OURS, "neuron/catalogue.toml", "X"),
)
RULES = (
    VOCABULARY,
    VOCABULARY_LEGACY,
    FAMILY,
    MIXED,
    DEPTH,
    TIED_HUB_ID,
    HUB_ID,
    CONFIG,
    MISSING,
    UNKNOWN,
    GUESSED,
)

FAMILIES = {"nxdi": ("qwen2", "qwen3"), "legacy": ("qwen2", "qwen3"), "vllm-neuron": ("qwen3",)}
NEARLY_AS_DEEP = 0.75
"""Above it the gain hangs on TP and acceptance, which `neuron plan` models and this does not."""


def check(subject: Subject) -> Iterator[Finding]:
    for side in subject.sides:
        yield from _known(side)
        if subject.on_neuron:
            yield from _on_neuron(subject, side)
    yield from _match(subject)
    if subject.over_nxdi:
        yield from _hub_ids_on_the_line(subject)


def _known(side: Side) -> Iterator[Finding]:
    if side.problem is not None:
        yield CONFIG(side.role, str(side.problem))
    elif side.missing is not None:
        yield MISSING(side.role, f"Key {side.role!r} names {side.ref}: {side.missing}.")
    elif side.geometry is None:
        yield UNKNOWN(
            side.role,
            f"Key {side.role!r} names {side.ref}, which is neither here nor a known name, so "
            "nothing about its shape was checked; run this where its config.json is.",
        )
    elif side.guessed:
        yield GUESSED(
            side.role,
            f"Key {side.role!r} names {side.ref}, which is not on this machine: it was judged by "
            "its name; check again where its config.json is.",
        )


def _on_neuron(subject: Subject, side: Side) -> Iterator[Finding]:
    shape, stack = side.geometry, subject.pair.stack
    if shape is None:
        return
    if shape.model_type not in FAMILIES[stack]:
        beta = stack == "vllm-neuron"
        known = " and ".join(FAMILIES[stack])
        yield FAMILY(
            side.role,
            f"Key {side.role!r} names {side.ref}, a model of type {shape.model_type!r}, and the "
            f"{stack} stack runs {known}: choose one of those"
            + (', or set stack to "nxdi".' if beta else "."),
            source=source(BETA, "vllm_neuron/model/registry.py") if beta else None,
        )
    if subject.over_nxdi and side.is_hub_id and shape.tie_word_embeddings:
        yield HUB_ID(
            side.role,
            f"Key {side.role!r} is the hub id {side.ref} of a model with tied embeddings: `neuron "
            "launch` passes the folder it finds, but a line of your own fails on the id; name the "
            "folder.",
        )


def _match(subject: Subject) -> Iterator[Finding]:
    draft = subject.draft
    if draft is None or draft.geometry is None or subject.target.geometry is None:
        return
    ours, theirs = draft.geometry, subject.target.geometry
    if ours.vocab_size != theirs.vocab_size:
        yield _vocabulary(subject, draft, ours.vocab_size, theirs.vocab_size)
    if ours.model_type != theirs.model_type:
        yield MIXED(
            "draft",
            f"Key 'draft' names {draft.ref}, a {ours.model_type}, for a target that is a "
            f"{theirs.model_type}: their special tokens differ; choose a draft of the target's "
            "own family.",
        )
    ratio = ours.num_hidden_layers / theirs.num_hidden_layers
    if subject.on_neuron and ratio > NEARLY_AS_DEEP:
        yield DEPTH(
            "draft",
            f"Key 'draft' names {draft.ref} with {ours.num_hidden_layers} layers for a target of "
            f"{theirs.num_hidden_layers}, which leaves little for speculation to gain at some "
            "degrees; `neuron plan` models what your TP and acceptance make of it.",
        )


def _vocabulary(subject: Subject, draft: Side, ours: int, theirs: int) -> Finding:
    way_out = (
        f"`neuron align {draft.ref} --target {subject.target.ref} --out FOLDER` writes a copy of "
        "the draft with the target's vocabulary"
    )
    start = (
        f"Key 'draft' names {draft.ref}, whose vocabulary of {ours} is not the target's {theirs}"
    )
    if subject.pair.stack == "legacy":
        return VOCABULARY_LEGACY(
            "draft",
            f"{start}: the fork compares tokens only and was not seen to refuse it, but an id "
            f"above the smaller one has no row; {way_out}.",
        )
    where = VLLM_CPU if subject.pair.stack == "cpu" else VLLM_016
    return VOCABULARY(
        "draft",
        f"{start}, and vLLM refuses that: {way_out}.",
        source=source(where, VLLM_CHECK),
    )


def _hub_ids_on_the_line(subject: Subject) -> Iterator[Finding]:
    ref = subject.line.text("--model")
    if ref is None or not is_hub_id(ref):
        return
    shape = side_of("target", ref).geometry
    if shape is not None and shape.tie_word_embeddings:
        yield TIED_HUB_ID(
            "--model",
            f"Flag --model {ref} is a hub id of a model with tied embeddings, which fails to load "
            "(a copy out of a meta tensor): give its folder.",
        )

"""Rules on K against lengths and graphs."""

from __future__ import annotations

from collections.abc import Iterator

from neuron.check.findings import Finding, Rule
from neuron.check.subject import Subject
from neuron.evidence import BETA, NXDI, OURS, source
from neuron.plugin.nxdi_settings import buckets

K_RANGE = Rule(
    id="k-range",
    severity="error",
    what="more drafts per step than the stack takes",
    source=source(OURS, "neuron/plugin/nxdi_settings.py", "X"),
)
K_LENGTH = Rule(
    id="k-length",
    severity="error",
    what="a prompt and a step that do not fit into `max_model_len`",
    source=source(NXDI, "modules/autobucketing.py, models/model_wrapper.py"),
)
K_BUCKET = Rule(
    id="k-bucket",
    severity="error",
    what="a context graph no longer than a step, which NxDI would take for one",
    source=source(NXDI, "models/model_wrapper.py"),
)
PROMPT_MISSING = Rule(
    id="prompt-length",
    severity="error",
    what="no `max_prompt_len` where graphs are compiled for it",
    source=source(NXDI, "models/config.py max_context_length"),
)
PROMPT_TP = Rule(
    id="segment-tp",
    severity="error",
    what="a segment of prefill that the TP does not divide, on vllm-neuron",
    source=source(BETA, "vllm_neuron/model/qwen3"),
)
RESERVED = Rule(
    id="reserved-tokens",
    severity="note",
    what="what a request may use is less than `max_model_len`",
    source=source(OURS, "neuron/plugin/terms.py", "X"),
)
RULES = (K_RANGE, K_LENGTH, K_BUCKET, PROMPT_MISSING, PROMPT_TP, RESERVED)


def check(subject: Subject) -> Iterator[Finding]:
    yield from _drafts(subject)
    if subject.pair.stack == "nxdi":
        yield from _prompt(subject)
    if subject.pair.stack == "vllm-neuron":
        yield from _segment(subject)
    reserved = subject.capabilities.reserved_tokens
    if reserved:
        room = subject.pair.max_model_len - reserved
        yield RESERVED(
            "max_model_len",
            f"Key 'max_model_len' is {subject.pair.max_model_len}, of which a request may use "
            f"{room}: a step at the end still writes its drafts; raise it if that is too little.",
        )


def _drafts(subject: Subject) -> Iterator[Finding]:
    most, drafts = subject.capabilities.max_draft_tokens, subject.pair.num_draft_tokens
    if subject.draft is not None and 0 < most < drafts:
        yield K_RANGE(
            "num_draft_tokens",
            f"Key 'num_draft_tokens' is {drafts}, and the {subject.pair.stack} stack takes at most "
            f"{most}; lower it.",
        )


def _prompt(subject: Subject) -> Iterator[Finding]:
    pair = subject.pair
    if pair.max_prompt_len is None:
        yield PROMPT_MISSING(
            "max_prompt_len",
            "Key 'max_prompt_len' is missing, and context graphs are compiled for it; set it to "
            "the longest prompt.",
        )
        return
    if pair.max_prompt_len + subject.rows > pair.max_model_len:
        yield K_LENGTH(
            "max_prompt_len",
            f"Key 'max_prompt_len' = {pair.max_prompt_len} leaves no room for a step of "
            f"{subject.rows} rows in max_model_len = {pair.max_model_len}; lower the one or raise "
            "the other.",
        )
    smallest = buckets(pair.max_prompt_len)[0]
    if subject.draft is not None and smallest <= subject.rows:
        yield K_BUCKET(
            "max_prompt_len",
            f"Key 'max_prompt_len' = {pair.max_prompt_len} makes a context graph of {smallest}, "
            f"not longer than a step's {subject.rows} rows; raise it above {subject.rows}.",
        )


def _segment(subject: Subject) -> Iterator[Finding]:
    from neuron.stacks.vllm_neuron import BATCHED_TOKENS

    tp = subject.pair.tp_degree
    if tp is not None and BATCHED_TOKENS % tp:
        yield PROMPT_TP(
            "tp_degree",
            f"Key 'tp_degree' = {tp} does not divide a prefill segment of {BATCHED_TOKENS} tokens; "
            "choose a power of two.",
        )

"""Rules on what is written twice: in the pair, and in JSON or on a launch line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from neuron.check.findings import Finding, Rule
from neuron.check.given import MAX_PROMPT, Part, is_wrapped, judged, neuron_configs
from neuron.check.subject import Given, Subject
from neuron.evidence import AWS_PLUGIN, NXDI, OURS, source
from neuron.stacks.nxdi_aws import OVERRIDES

CONFIG = source(NXDI, "models/config.py", "X")

DIFFERS = Rule(
    id="override-differs",
    severity="error",
    what="a NeuronConfig value, or a flag, that is not the pair's",
    source=source(OURS, "neuron/pair.py: everything is derived from the pair", "X"),
)
ROWS = Rule(
    id="speculation-length",
    severity="error",
    what="a `speculation_length` that is not K + 1, which counts the target's own token",
    source=source(NXDI, "models/model_base.py NeuronFusedSpecModel"),
)
BUCKETS = Rule(
    id="buckets",
    severity="error",
    what="graph lengths that are out of order or above what is compiled for",
    source=CONFIG,
)
BUCKET_K = Rule(
    id="bucket-k",
    severity="error",
    what="a context graph no longer than a step",
    source=source(NXDI, "models/model_wrapper.py"),
)
PROMPT = Rule(
    id="max-prompt-length",
    severity="error",
    what="`max_context_length` without the same `max_prompt_length` beside the overrides",
    source=source(AWS_PLUGIN, "worker"),
)
RULES = (DIFFERS, ROWS, BUCKETS, BUCKET_K, PROMPT)

SAME = {
    "tp_degree": "tp_degree",
    "batch_size": "max_num_seqs",
    "max_batch_size": "max_num_seqs",
    "tkg_batch_size": "max_num_seqs",
    "spec_batch_size": "max_num_seqs",
    "pa_num_blocks": "max_num_seqs",
    "seq_len": "max_model_len",
    "n_positions": "max_model_len",
    "max_length": "max_model_len",
    "max_context_length": "max_prompt_len",
    "logical_nc_config": "lnc",
    "logical_neuron_cores": "lnc",
}
"""NeuronConfig's key and the pair's. Blocks are slots where there is no prefix caching."""


def check(subject: Subject) -> Iterator[Finding]:
    for given in judged(subject):
        for part in neuron_configs(given, subject.pair):
            yield from _values(subject, part, given.origin)
            yield from _buckets(subject, part, given.origin)
        yield from _prompt(subject, given)


def _values(subject: Subject, part: Part, origin: str) -> Iterator[Finding]:
    for key, ours in SAME.items():
        wanted = getattr(subject.pair, ours)
        if key in part.value and wanted is not None and part.value[key] != wanted:
            yield DIFFERS(
                part.at(key),
                f"Key {part.at(key)!r} in {origin} is {part.value[key]!r}, and the pair's {ours} "
                f"is {wanted}; leave it out, or change the pair.",
            )
    length = part.value.get("speculation_length", subject.rows)
    if subject.draft is not None and length != subject.rows:
        yield ROWS(
            part.at("speculation_length"),
            f"Key {part.at('speculation_length')!r} in {origin} is {length!r}, and with "
            f"num_draft_tokens = {subject.pair.num_draft_tokens} NxDI's count, which has the "
            f"target's own token in it, is {subject.rows}; leave it out.",
        )


def _buckets(subject: Subject, part: Part, origin: str) -> Iterator[Finding]:
    pair = subject.pair
    longest = {
        "context_encoding_buckets": pair.max_prompt_len or pair.max_model_len,
        "token_generation_buckets": pair.max_model_len,
    }
    for key, limit in longest.items():
        ladder = part.value.get(key)
        if ladder is None:
            continue
        where = f"Key {part.at(key)!r} in {origin}"
        if not _ascends(ladder):
            yield BUCKETS(
                part.at(key),
                f"{where} is {ladder!r}, and must be an ascending list of lengths; write it so.",
            )
            continue
        if ladder[-1] != limit:
            yield BUCKETS(
                part.at(key),
                f"{where} ends in {ladder[-1]}, and the pair compiles for {limit}; end it there.",
            )
        if key == "context_encoding_buckets" and ladder[0] <= subject.rows and subject.draft:
            yield BUCKET_K(
                part.at(key),
                f"{where} starts at {ladder[0]}, not above the {subject.rows} rows of a step, and "
                "NxDI would take such a prompt for a step; start it higher.",
            )


def _ascends(ladder: Any) -> bool:  # noqa: ANN401 - whatever the JSON holds
    if not isinstance(ladder, list) or not ladder:
        return False
    whole = all(isinstance(length, int) and length > 0 for length in ladder)
    return whole and ladder == sorted(set(ladder))


def _prompt(subject: Subject, given: Given) -> Iterator[Finding]:
    pair = subject.pair
    overrides = given.value.get(OVERRIDES)
    if pair.stack != "nxdi" or not is_wrapped(given.value, pair) or not isinstance(overrides, dict):
        return
    compiled = overrides.get("max_context_length")
    said = given.value.get(MAX_PROMPT, "missing")
    if compiled is not None and said != compiled:
        yield PROMPT(
            MAX_PROMPT,
            f"Key {MAX_PROMPT!r} in {given.origin} is {said}, and "
            f"max_context_length is {compiled}: a prompt between the two ends the engine; set it "
            f"to {compiled}.",
        )

"""Rules on the keys of a JSON configuration: nothing upstream says that one was not read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from neuron.check.findings import Finding, Rule
from neuron.check.given import (
    DRAFT_OVERRIDES,
    class_keys,
    draft_overrides,
    is_saved,
    is_wrapped,
    parts,
    top_level,
)
from neuron.check.keyset import ROOT, Unknown, unknown_keys
from neuron.check.subject import Given, Subject
from neuron.evidence import AWS_PLUGIN, BETA, NXDI, OURS, source
from neuron.stacks.nxdi_aws import OVERRIDES

DASHED = Rule(
    id="key-dashed",
    severity="error",
    what="a key with dashes where the underscored one is read, as AWS's documentation spells it",
    source=source(AWS_PLUGIN, "worker/neuronx_distributed_model_loader.py"),
)
UNKNOWN = Rule(
    id="key-unknown",
    severity="error",
    what="a key that the class it goes to does not take, at any depth",
    source=source(NXDI, "models/config.py", "X"),
)
DEAD = Rule(
    id="key-dead",
    severity="error",
    what="a key that older samples pass and NxDI no longer has",
    source=source(NXDI, "models/config.py"),
)
UNREAD = Rule(
    id="overrides-unread",
    severity="warning",
    what="a Neuron configuration that the pair's engine does not read",
    source=source(OURS, "neuron/plugin/nxdi_config.py", "X"),
)
SAVED = Rule(
    id="saved-artefact",
    severity="warning",
    what="an artefact's saved `neuron_config.json` in place of the JSON that somebody wrote",
    source=source(NXDI, "models/config.py InferenceConfig.save", "X"),
)
NESTED = Rule(
    id="draft-overrides",
    severity="error",
    what="an object inside `draft_overrides`, which sets attributes one by one",
    source=source(AWS_PLUGIN, "worker/neuronx_distributed_model_loader.py"),
)
RULES = (DASHED, UNKNOWN, DEAD, UNREAD, SAVED, NESTED)

GONE = frozenset({"trace_tokengen_model"})


def check(subject: Subject) -> Iterator[Finding]:
    for given in subject.configs:
        if not subject.on_neuron:
            yield UNREAD(
                given.origin,
                f"Key 'stack' is 'cpu', whose engine reads no Neuron configuration, so "
                f"{given.origin} was not judged; leave it out.",
            )
            continue
        if is_saved(given.value):
            yield SAVED(
                given.origin,
                f"{given.origin} is an artefact's saved configuration, whose derived fields are no "
                "keys, so its keys were not judged; give the JSON that you start the engine with.",
            )
            continue
        yield from _top(subject, given)
        for part in parts(given, subject.pair):
            for unknown in unknown_keys(part.value, part.keys, path=part.path):
                yield _unknown(subject, given, unknown, part.keys.origin)
        yield from _draft(subject, given)


def _top(subject: Subject, given: Given) -> Iterator[Finding]:
    pair = subject.pair
    wrapped = is_wrapped(given.value, pair)
    if wrapped:
        known = top_level(pair)
        for unknown in unknown_keys(given.value, known):
            yield _unknown(subject, given, unknown, known.origin)
    ours = pair.stack == "nxdi" and pair.plugin == "specserve" and subject.draft is not None
    if ours and (not wrapped or OVERRIDES in given.value):
        yield UNREAD(
            OVERRIDES,
            f"Key {OVERRIDES!r} in {given.origin} is read by AWS's plugin only, and pair "
            f"{pair.name!r} runs ours, which derives NxDI's keys from the pair; set plugin to "
            '"vllm-neuron", or leave them out.',
        )


def _unknown(subject: Subject, given: Given, unknown: Unknown, origin: str) -> Finding:
    beta = subject.pair.stack == "vllm-neuron"
    src = source(BETA, "vllm_neuron/model/neuron_config.py") if beta else None
    where = f"Key {unknown.path!r} in {given.origin}"
    if unknown.is_dashed:
        return DASHED(
            unknown.path,
            f"{where} is spelt with dashes and would not be read; write {unknown.near}.",
            source=src,
        )
    if unknown.key in GONE:
        return DEAD(unknown.path, f"{where} is no key of NxDI any more; leave it out.")
    lead = f"did you mean {unknown.near}" if unknown.near else "leave it out"
    whose = f"{unknown.known_by} " if origin != "--additional-config" else ""
    return UNKNOWN(
        unknown.path,
        f"{where} is none that {whose}takes, and nothing would say so (held against {origin}); "
        f"{lead}{'?' if unknown.near else '.'}",
        source=src,
    )


def _draft(subject: Subject, given: Given) -> Iterator[Finding]:
    overrides = draft_overrides(given)
    if not overrides or subject.pair.stack != "nxdi":
        return
    keys = class_keys(subject.pair)
    flat = dict.fromkeys(overrides)
    for unknown in unknown_keys(flat, keys, of=ROOT, path=DRAFT_OVERRIDES):
        yield _unknown(subject, given, unknown, keys.origin)
    for key, value in overrides.items():
        if isinstance(value, Mapping):
            yield NESTED(
                f"{DRAFT_OVERRIDES}.{key}",
                f"Key '{DRAFT_OVERRIDES}.{key}' in {given.origin} is an object, and the plugin "
                "sets attributes as they come, so NxDI would get a plain dict; leave it out.",
            )

"""Rules on what is asked of an engine that it cannot do: its capabilities, read as data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from neuron.check.findings import Finding, Rule, Severity
from neuron.check.subject import Subject
from neuron.evidence import NOT_RUN, OURS, SDK, source
from neuron.stacks.capabilities import Feature
from neuron.stacks.registry import UNCHECKED, unchecked

DATA = source(OURS, "neuron/stacks (each lack has its own source)", "C")


def _rule(feature: Feature, severity: Severity, what: str) -> Rule:
    return Rule(id=feature.replace("_", "-"), severity=severity, what=what, source=DATA)


SPECULATION = _rule("speculation", "error", "a plain draft on a stack that takes none")
PREFIX = _rule("prefix_caching", "error", "prefix caching on a fused step")
CHUNKED = _rule("chunked_prefill", "error", "chunked prefill where prompts are prefilled whole")
LORA = _rule("lora", "error", "LoRA with an engine that serves no adapters")
GRAMMAR = _rule("grammar", "error", "a grammar, or a parser of tool calls, where masks are dropped")
LOGPROBS = _rule("logprobs", "error", "logprobs where logits stay on the device")
SAMPLING = _rule("sampling", "warning", '`sampling = "any"` on an engine that is greedy only')
PLAIN = Rule(
    id="plain-differs",
    severity="note",
    what="requests that only the speculative or only the plain engine of a pair serves",
    source=DATA,
)
UNTRIED = Rule(
    id="not-run",
    severity="note",
    what="a pair for hardware that we have not run on",
    source=source(OURS, "docs/stacks.md", "X"),
)
ENDED = Rule(
    id="stack-frozen",
    severity="note",
    what="a stack that AWS has stopped developing",
    source=source(SDK, "release-notes/components/nxd-inference.rst", "D"),
)
ARTEFACT = Rule(
    id="artefact-unchecked",
    severity="note",
    what="a stack whose launch compares nothing compiled with the pair",
    source=DATA,
)
RULES = (
    SPECULATION,
    PREFIX,
    CHUNKED,
    LORA,
    GRAMMAR,
    LOGPROBS,
    SAMPLING,
    PLAIN,
    UNTRIED,
    ENDED,
    ARTEFACT,
)

FLAGS: Mapping[str, tuple[Feature, Rule]] = MappingProxyType(
    {
        "--enable-prefix-caching": ("prefix_caching", PREFIX),
        "--enable-chunked-prefill": ("chunked_prefill", CHUNKED),
        "--enable-lora": ("lora", LORA),
        "--lora-modules": ("lora", LORA),
        "--enable-auto-tool-choice": ("grammar", GRAMMAR),
        "--structured-outputs-config": ("grammar", GRAMMAR),
        "--guided-decoding-backend": ("grammar", GRAMMAR),
        "--max-logprobs": ("logprobs", LOGPROBS),
    }
)
FROZEN = {
    "nxdi": "NxDI gets critical fixes only, and SDK 2.31.1 has the last image with it: pin that by "
    "its digest",
    "legacy": "the V0 fork is archived with SDK 2.26.1: use it to reproduce published numbers only",
}


def check(subject: Subject) -> Iterator[Finding]:
    yield from _keys(subject)
    yield from _line(subject)
    if subject.draft is not None and subject.capabilities.can("speculation"):
        yield from _difference(subject)
    if subject.on_neuron:
        yield UNTRIED(
            "stack",
            f"Key 'stack' is {subject.pair.stack!r}: what is said here was read or modelled, and "
            f"{NOT_RUN}; run `neuron preflight` on the host first.",
        )
    if subject.pair.stack in FROZEN:
        ended = FROZEN[subject.pair.stack]
        yield ENDED("stack", f"Key 'stack' is {subject.pair.stack!r}: {ended}.")
    said = unchecked(subject.pair)
    if said is not None:
        yield ARTEFACT("stack", said, source=UNCHECKED[subject.pair.stack].source)


def _keys(subject: Subject) -> Iterator[Finding]:
    pair = subject.pair
    if subject.draft is not None:
        yield from _lack(
            subject,
            "speculation",
            SPECULATION,
            "draft",
            'remove the key, or set stack to "nxdi"',
        )
    if pair.prefix_caching and subject.on_neuron:
        yield from _lack(subject, "prefix_caching", PREFIX, "prefix_caching", "set it to false")
    if pair.tool_call_parser is not None:
        yield from _lack(
            subject,
            "grammar",
            GRAMMAR,
            "tool_call_parser",
            "remove the key" + _our_plugin(subject, "grammar"),
        )
    if pair.sampling == "any":
        yield from _lack(
            subject,
            "sampling",
            SAMPLING,
            "sampling",
            'set it to "greedy"' + _our_plugin(subject, "sampling"),
        )


def _line(subject: Subject) -> Iterator[Finding]:
    for flag, (feature, rule) in FLAGS.items():
        if flag in subject.line:
            yield from _lack(subject, feature, rule, flag, "leave the flag out")


def _lack(
    subject: Subject, feature: Feature, rule: Rule, field: str, way_out: str
) -> Iterator[Finding]:
    lack = subject.capabilities.lacks.get(feature)
    if lack is None:
        return
    kind = "Flag" if field.startswith("-") else "Key"
    name = field if kind == "Flag" else repr(field)
    whose = " by AWS's plugin" if subject.capabilities.plugin == "vllm-neuron" else ""
    yield rule(
        field,
        f"{kind} {name} asks for what the {subject.pair.stack} stack{whose} cannot do: {lack.why}; "
        f"{way_out}.",
        source=lack.source,
    )


def _our_plugin(subject: Subject, feature: Feature) -> str:
    """The other way out, where our plugin would not lack it."""
    speculating_by_aws = subject.pair.stack == "nxdi" and subject.pair.plugin == "vllm-neuron"
    if speculating_by_aws and subject.draft is not None:
        return ', or set plugin to "specserve"'
    return "" if feature == "sampling" else ', or set stack to "vllm-neuron" without a draft'


def _difference(subject: Subject) -> Iterator[Finding]:
    with_draft, plain = subject.capabilities, subject.plain
    only_plain = [name for name in with_draft.lacks if plain.can(name)]
    only_draft = [name for name in plain.lacks if with_draft.can(name) and name != "speculation"]
    for names, which, other in (
        (only_plain, "without", "with"),
        (only_draft, "with", "without"),
    ):
        served = [name for name in names if name != "spec_metrics"]
        if served:
            yield PLAIN(
                "draft",
                f"Key 'draft': {', '.join(served)} is served {which} the draft and not {other} it, "
                f"so compare the two on other requests and route these to the engine {which} it.",
            )

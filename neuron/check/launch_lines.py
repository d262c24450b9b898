"""Rules on a launch line of the owner's own, as far as flags and not JSON are concerned."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator

from neuron.check.findings import Finding, Rule
from neuron.check.lines import known_flags
from neuron.check.subject import Subject
from neuron.evidence import AWS_PLUGIN, BETA, OURS, VLLM_016, source
from neuron.stacks.vllm_neuron import BLOCK

BLOCKS = Rule(
    id="blocks-override",
    severity="error",
    what="`--num-gpu-blocks-override` that is not the slots, or too small for prefix caching",
    source=source(AWS_PLUGIN, "platform.py"),
)
BLOCKS_SIZE = Rule(
    id="blocks-size",
    severity="warning",
    what="on vllm-neuron, other blocks than what all sequences need",
    source=source(BETA, "docs (GPT-OSS: 23.5 to 40.9 tokens/s)", "M"),
)
FLAG_DIFFERS = Rule(
    id="flag-differs",
    severity="error",
    what="a flag on a launch line that is not the pair's",
    source=source(OURS, "neuron/pair.py: everything is derived from the pair", "X"),
)
TP_OURS = Rule(
    id="tp-flag",
    severity="error",
    what="`--tensor-parallel-size` with our plugin, whose graph has the degree",
    source=source(OURS, "neuron/plugin/terms.py", "X"),
)
ASYNC = Rule(
    id="async-scheduling",
    severity="warning",
    what="`--async-scheduling` with a draft",
    source=source(VLLM_016, "config/vllm.py"),
)
SEGMENT = Rule(
    id="segment-length",
    severity="error",
    what="on vllm-neuron, `--max-num-batched-tokens` that is no segment length",
    source=source(BETA, "vllm_neuron/utils/bucket_utils.py", "D"),
)
VALUE = Rule(
    id="flag-value",
    severity="error",
    what="a flag of vLLM's without the value that it needs",
    source=source(VLLM_016, "engine/arg_utils.py"),
)
MISSPELT = Rule(
    id="flag-unknown",
    severity="warning",
    what="a flag that vLLM does not know and that is nearly one it does",
    source=source(VLLM_016, "engine/arg_utils.py"),
)
RULES = (VALUE, MISSPELT, BLOCKS, BLOCKS_SIZE, FLAG_DIFFERS, TP_OURS, ASYNC, SEGMENT)

SEGMENTS = (512, 1024, 2048, 4096, 8192)
SAME = {"--max-model-len": "max_model_len", "--max-num-seqs": "max_num_seqs"}
BLOCKS_FLAG = "--num-gpu-blocks-override"
DEFAULT_BLOCK = 16
"""vLLM's `--block-size`, where the line gives none."""


NEAR = 0.85
"""How like a known flag an unknown one must be to be taken for it: other versions have others."""


def check(subject: Subject) -> Iterator[Finding]:
    yield from _spelling(subject)
    yield from _same(subject)
    if subject.on_neuron:
        yield from _degree(subject)
        yield from _blocks(subject)
    if subject.draft is not None and "--async-scheduling" in subject.line and subject.on_neuron:
        yield ASYNC(
            "--async-scheduling",
            "Flag --async-scheduling runs ahead of a step whose length is not known yet; give "
            "--no-async-scheduling.",
        )
    segment = subject.line.text("--max-num-batched-tokens")
    beta = subject.pair.stack == "vllm-neuron"
    if beta and segment is not None and _number(segment) not in SEGMENTS:
        yield SEGMENT(
            "--max-num-batched-tokens",
            f"Flag --max-num-batched-tokens {segment} is no length of a prefill segment; give "
            f"one of {', '.join(map(str, SEGMENTS))}.",
        )


def _spelling(subject: Subject) -> Iterator[Finding]:
    known = known_flags()
    for name, value in subject.line.values.items():
        flag, dot, _ = name.partition(".")
        if flag not in known:
            near = difflib.get_close_matches(flag, known, n=1, cutoff=NEAR)
            if near:
                yield MISSPELT(
                    flag,
                    f"Flag {flag} is none of vLLM's, so nothing about it was checked; did you mean "
                    f"{near[0]}?",
                )
        elif not value and (dot or known[flag] == "one"):
            yield VALUE(
                name, f"Flag {name} has no value, and vLLM needs one; give it, or leave it out."
            )


def _same(subject: Subject) -> Iterator[Finding]:
    for flag, key in SAME.items():
        given = subject.line.text(flag)
        wanted = getattr(subject.pair, key)
        if given is not None and _number(given) != wanted:
            yield FLAG_DIFFERS(
                flag,
                f"Flag {flag} {given} is not the pair's {key} = {wanted}; leave it out, or change "
                "the pair.",
            )


def _degree(subject: Subject) -> Iterator[Finding]:
    flag = "--tensor-parallel-size"
    given = subject.line.text(flag)
    if given is None:
        return
    if subject.capabilities.plugin == "specserve":
        if _number(given) != 1:
            yield TP_OURS(
                flag,
                f"Flag {flag} {given} is refused by our plugin, whose degree is the pair's "
                f"tp_degree = {subject.pair.tp_degree} inside the graph; leave it out.",
            )
    elif _number(given) != subject.pair.tp_degree:
        yield FLAG_DIFFERS(
            flag,
            f"Flag {flag} {given} is not the pair's tp_degree = {subject.pair.tp_degree}; leave it "
            "out, or change the pair.",
        )


def _blocks(subject: Subject) -> Iterator[Finding]:
    pair, given = subject.pair, subject.line.text(BLOCKS_FLAG)
    if given is None:
        return
    blocks = _number(given)
    if pair.stack == "vllm-neuron":
        wanted = math.ceil(pair.max_model_len / BLOCK) * pair.max_num_seqs
        if blocks != wanted:
            yield BLOCKS_SIZE(
                BLOCKS_FLAG,
                f"Flag {BLOCKS_FLAG} {given} is not the {wanted} blocks that max_num_seqs × "
                f"max_model_len need, and more of them make every step slower; set it to {wanted}.",
            )
    elif subject.capabilities.plugin == "specserve":
        yield BLOCKS(
            BLOCKS_FLAG,
            f"Flag {BLOCKS_FLAG} {given} counts blocks that our plugin lays out itself, for every "
            "slot to its end; leave it out.",
            source=source(OURS, "neuron/plugin/worker.py", "X"),
        )
    elif "--enable-prefix-caching" in subject.line:
        size = _number(subject.line.text("--block-size") or "") or DEFAULT_BLOCK
        wanted = math.ceil(pair.max_model_len / size) * pair.max_num_seqs
        if blocks is None or blocks < wanted:
            yield BLOCKS(
                BLOCKS_FLAG,
                f"Flag {BLOCKS_FLAG} {given} is less than the {wanted} blocks of {size} that "
                "max_num_seqs × max_model_len need with prefix caching; raise it, or leave prefix "
                "caching off.",
            )
    elif blocks != pair.max_num_seqs:
        yield BLOCKS(
            BLOCKS_FLAG,
            f"Flag {BLOCKS_FLAG} {given} must be the pair's max_num_seqs = {pair.max_num_seqs}: "
            "without prefix caching a block is a whole slot; set it to that, or leave it to "
            "`neuron launch`.",
        )


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None

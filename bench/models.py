"""Whether a pair's models are on this machine and can be one pair, before anything slow is done."""

from collections.abc import Mapping
from typing import Any

from neuron.errors import ModelNotFoundError, PairError
from neuron.models import BUNDLED_PREFIX, KNOWN_MODELS, QWEN3_SIZES, locate
from neuron.pair import Pair

# Smallest first; vLLM refuses a draft whose vocab_size is not its target's (vllm#10913).
SAME_VOCABULARY = (
    ("qwen2.5-0.5b", "qwen2.5-1.5b", "qwen2.5-3b"),
    ("qwen2.5-7b", "qwen2.5-14b", "qwen2.5-32b", "qwen2.5-72b"),
    tuple(f"qwen3-{size}" for size in QWEN3_SIZES),
)
FAR_ENOUGH = 3
"""Sizes up: a target next door in size leaves little to gain."""


def check_models(pair: Pair, given: Mapping[str, Any]) -> None:
    """`given` are the options. Raises PairError or ModelNotFoundError."""
    if given["draft"] and pair.target.startswith(BUNDLED_PREFIX):
        _refuse_half("draft", given["draft"])
    if given["target"] and pair.draft and pair.draft.startswith(BUNDLED_PREFIX):
        _refuse_half("target", given["target"])
    for ref in (pair.target, pair.draft):
        if ref is not None and not ref.startswith(BUNDLED_PREFIX):
            locate(ref)


def _refuse_half(option: str, ref: str) -> None:
    """Where `ref` is a Qwen model: the bundled other half has a small vocabulary of its own."""
    if ref.lower() not in KNOWN_MODELS:
        return
    other = "target" if option == "draft" else "draft"
    partner = _partner(ref.lower(), other)
    way = f"add --{other} {partner}, or " if partner else f"no known {other} has it, so "
    here = ", ".join(
        f"{name} is {'' if _is_here(name) else 'not '}on this machine"
        for name in (ref, partner)
        if name
    )
    failure = PairError if _is_here(ref) else ModelNotFoundError
    raise failure(
        f"--{option} {ref} needs a {other} of its own vocabulary: {way}leave --{option} out for "
        f"the bundled pair ({here})."
    )


def _partner(ref: str, role: str) -> str | None:
    """A known model that could be the `role` beside `ref`, one on this machine if there is one."""
    family = next(names for names in SAME_VOCABULARY if ref in names)
    place = family.index(ref)
    fitting = family[place + 1 :][:FAR_ENOUGH][::-1] if role == "target" else family[:place]
    return next((name for name in fitting if _is_here(name)), next(iter(fitting), None))


def _is_here(ref: str) -> bool:
    try:
        locate(ref)
    except ModelNotFoundError:
        return False
    return True

"""What a request needs of an engine, field by field.

A stack says what it lacks in `neuron.stacks`; here is which field asks for it. A field that says
what holds anyway, such as `presence_penalty: 0`, asks for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from neuron.stacks.capabilities import Capabilities, Feature, Lack

Needs = Mapping[Feature, str]
"""The first field that asks for each feature."""

Asks = Callable[[Any], bool]


def _other_than(neutral: float) -> Asks:
    return lambda value: value is not None and value != neutral


def _given(value: object) -> bool:
    return value is not None and value is not False


def _filled(value: object) -> bool:
    return bool(value)


def _constrains(value: object) -> bool:
    return isinstance(value, Mapping) and value.get("type") != "text"


def _formed(value: object) -> bool:
    """`text` of /v1/responses."""
    return isinstance(value, Mapping) and _constrains(value.get("format"))


def _logprobs_included(value: object) -> bool:
    return isinstance(value, list) and "message.output_text.logprobs" in value


def _forces(value: object) -> bool:
    return isinstance(value, Mapping) or value == "required"


def _strict(value: object) -> bool:
    """Tools of which one wants its arguments to follow its schema."""
    tools = value if isinstance(value, list) else []
    # /v1/responses writes flat what chat nests.
    functions = [tool.get("function", tool) for tool in tools if isinstance(tool, Mapping)]
    return any(isinstance(one, Mapping) and one.get("strict") is True for one in functions)


FIELDS: Mapping[str, tuple[Feature, Asks]] = MappingProxyType(
    {
        "presence_penalty": ("penalties", _other_than(0)),
        "frequency_penalty": ("penalties", _other_than(0)),
        "repetition_penalty": ("penalties", _other_than(1)),
        "seed": ("seed", _given),
        "min_p": ("min_p", _other_than(0)),
        "logit_bias": ("logit_bias", _filled),
        "allowed_token_ids": ("token_limits", _given),
        "bad_words": ("token_limits", _filled),
        "min_tokens": ("token_limits", _other_than(0)),
        # 0 in a completion still asks for the chosen token's own.
        "logprobs": ("logprobs", _given),
        "top_logprobs": ("logprobs", _other_than(0)),
        "logprob_token_ids": ("logprobs", _filled),
        "use_beam_search": ("logprobs", _given),
        "prompt_logprobs": ("prompt_logprobs", _given),
        "include": ("logprobs", _logprobs_included),
        "response_format": ("grammar", _constrains),
        "structured_outputs": ("grammar", _filled),
        "text": ("grammar", _formed),
        "tool_choice": ("grammar", _forces),
        "tools": ("grammar", _strict),
    }
)


BESIDE: Mapping[Feature, tuple[Feature, str]] = MappingProxyType(
    {
        "grammar_past_eos": ("grammar", "ignore_eos"),
        "prompt_logprobs": ("logprobs", "echo"),
    }
)
"""Asked for by a field beside what asks for another feature."""

REQUESTED: frozenset[Feature] = frozenset(
    {"sampling", *BESIDE, *(feature for feature, _ in FIELDS.values())}
)
"""Of all features those that a request asks for; the others are how an engine was started."""


def needs_of(document: Mapping[str, Any]) -> Needs:
    needs: dict[Feature, str] = {}
    for feature, field in _asked(document):
        needs.setdefault(feature, field)
    for beside, (feature, field) in BESIDE.items():
        if feature in needs and document.get(field):
            needs.setdefault(beside, field)
    return needs


def lacking(needs: Needs, capabilities: Capabilities) -> tuple[str, Lack] | None:
    """The first field that an engine cannot serve exactly, and why; None where it can."""
    for feature, field in needs.items():
        lack = capabilities.lacks.get(feature)
        if lack is not None:
            return field, lack
    return None


def _asked(document: Mapping[str, Any]) -> Iterator[tuple[Feature, str]]:
    # A request that does not say is sampled: the default is 1 or the model's own.
    if document.get("temperature") != 0:
        yield "sampling", "temperature"
    for field, value in document.items():
        entry = FIELDS.get(field)
        if entry is not None and entry[1](value):
            yield entry[0], field

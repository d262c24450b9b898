"""JSON that somebody wrote for an engine: which part of it goes to which class, and its keys."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuron.check.installed import installed_keys
from neuron.check.keyset import KeySet, beta_keys, nxdi_keys
from neuron.check.lines import Line
from neuron.check.subject import Given, Subject
from neuron.errors import PairError
from neuron.pair import Pair
from neuron.plugin.nxdi_settings import NxdiSettings
from neuron.stacks.nxdi_aws import OVERRIDES

# As in neuron.plugin.terms, which needs torch; a test holds the two together.
OPTIONS = "specserve"
ADAPTIVE = "specserve_adaptive_drafts"
MAX_PROMPT = "max_prompt_length"
BETA_CONFIG = "neuron_config"
DRAFT_OVERRIDES = "draft_overrides"
SAVED_MARKS = frozenset({"fused_spec_config", "metadata", "num_cores_per_group"})
"""Keys that only a saved artefact's `neuron_config.json` has beside `neuron_config`."""

OURS = KeySet(
    classes={"NeuronConfig": frozenset(NxdiSettings.model_fields)},
    nested={},
    origin="neuron/plugin/nxdi_settings.py",
)


@dataclass(frozen=True)
class Part:
    """One object of the JSON, and the keys that it may have."""

    path: str
    value: Mapping[str, Any]
    keys: KeySet

    def at(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key


def top_level(pair: Pair) -> KeySet:
    """What the pair's plugin reads out of `--additional-config`."""
    known = {
        "vllm-neuron": {BETA_CONFIG},
        "legacy": set[str](),
        "cpu": set[str](),
        "nxdi": {OVERRIDES, MAX_PROMPT, OPTIONS, ADAPTIVE},
    }
    return KeySet({"NeuronConfig": frozenset(known[pair.stack])}, {}, "--additional-config")


def class_keys(pair: Pair) -> KeySet:
    """Of NeuronConfig and all inside it, on the pair's stack; the installed NxDI's if there."""
    if pair.stack == "vllm-neuron":
        return beta_keys()
    return installed_keys() or nxdi_keys()


def is_saved(value: Mapping[str, Any]) -> bool:
    """Whether it is an artefact's own configuration, whose derived fields are no keys."""
    return BETA_CONFIG in value and bool(SAVED_MARKS & value.keys())


def judged(subject: Subject) -> Iterator[Given]:
    """What NxDI will read of the JSON given; a saved configuration has a finding of its own."""
    if subject.over_nxdi:
        yield from (given for given in subject.configs if not is_saved(given.value))


def is_wrapped(value: Mapping[str, Any], pair: Pair) -> bool:
    """Whether it is all of `--additional-config`, not the object inside it."""
    known = top_level(pair).classes["NeuronConfig"]
    return any(key.replace("-", "_") in known for key in value)


def parts(given: Given, pair: Pair) -> Iterator[Part]:
    """The objects in it that some class is built from; `draft_overrides` is none of them."""
    if not is_wrapped(given.value, pair):
        yield Part("", _without_draft(given.value), class_keys(pair))
        return
    inner = BETA_CONFIG if pair.stack == "vllm-neuron" else OVERRIDES
    for key, value in given.value.items():
        if isinstance(value, Mapping) and key.replace("-", "_") == inner:
            yield Part(key, _without_draft(value), class_keys(pair))
        if isinstance(value, Mapping) and key == OPTIONS and pair.stack == "nxdi":
            yield Part(key, value, OURS)


def neuron_configs(given: Given, pair: Pair) -> Iterator[Part]:
    """Of `parts`, what NeuronConfig is built from."""
    return (part for part in parts(given, pair) if part.keys is not OURS)


def draft_overrides(given: Given) -> Mapping[str, Any]:
    """AWS's plugin sets each of them as an attribute of the draft's NeuronConfig."""
    for value in (given.value, given.value.get(OVERRIDES)):
        inner = value.get(DRAFT_OVERRIDES) if isinstance(value, Mapping) else None
        if isinstance(inner, Mapping):
            return inner
    return {}


def of_file(path: Path) -> Given:
    """Raises PairError for what is no JSON object."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PairError(f"{path} cannot be read: {error}.") from error
    return Given(_object(text, str(path)), str(path))


def of_line(line: Line) -> Iterator[Given]:
    """Raises PairError for a flag whose value is no JSON object; one without is a finding."""
    for flag in ("--additional-config", "--override-neuron-config"):
        text = line.text(flag)
        if text:
            yield Given(_object(text, flag), flag)


def speculative(line: Line) -> Mapping[str, Any] | None:
    """None where the line has no `--speculative-config`. Raises PairError as above."""
    text = line.text("--speculative-config")
    return _object(text, "--speculative-config") if text else None


def _object(text: str, origin: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise PairError(f"{origin} is not JSON: {error}; give one JSON object.") from error
    except RecursionError as error:
        raise PairError(f"{origin} is nested too deeply; give one JSON object.") from error
    if not isinstance(value, dict):
        raise PairError(f"{origin} holds no JSON object, but {text[:40]}; give one in braces.")
    return value


def _without_draft(value: Mapping[str, Any]) -> dict[str, Any]:
    return {key: inner for key, inner in value.items() if key != DRAFT_OVERRIDES}

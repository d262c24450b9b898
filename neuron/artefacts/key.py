"""The artefact key: everything whose change makes a compiled artefact the wrong one.

What invalidates was read in NxDI 4bcdc54 and AWS's plugin 0.5.0. NxDI
itself compares nothing of it when it loads.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[int, Field(gt=0)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256 in hex."""


class ArtefactKey(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    stack: Literal["nxdi", "vllm-neuron", "legacy"]
    plugin: str
    """Whose plugin compiled: their graphs and options differ."""
    platform: str
    """Instance family, such as trn2: an executable is for one kind of core."""
    target: Digest
    """Of the model's own files; see `neuron.artefacts.content.model_digest`."""
    target_path: str
    """NxDI and our plugin's note keep absolute paths, so another path is another artefact."""
    draft: Digest | None = None
    """None: compiled without speculation; `draft_path` and K are None with it."""
    draft_path: str | None = None
    num_draft_tokens: Positive | None = None
    tp_degree: Positive
    lnc: Literal[1, 2]
    max_num_seqs: Positive
    """The compiled batch."""
    max_model_len: Positive
    max_prompt_len: Positive
    context_buckets: tuple[Positive, ...]
    """Tokens, one prefill graph each."""
    step_buckets: tuple[Positive, ...]
    sampling: Literal["any", "greedy"]
    """`any`: the graphs return logits for the host to sample from."""
    dtype: str
    flags: Mapping[str, Any]
    """Whatever else the compiler is told, JSON values."""
    versions: Mapping[str, str]
    """Package by version of what compiles; see `neuron.artefacts.versions`."""

    @property
    def digest(self) -> str:
        """SHA-256 in hex, the same whatever the order of keys."""
        return hashlib.sha256(canonical(self.model_dump(mode="json"))).hexdigest()

    @property
    def speculates(self) -> bool:
        return self.draft is not None


def canonical(value: object) -> bytes:
    """JSON with one spelling per value. NaN raises ValueError."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def differences(wanted: ArtefactKey, found: ArtefactKey) -> list[str]:
    """`key: wanted …, found …` for every key that differs, mappings taken apart; empty if none."""
    ours, theirs = dict(_leaves(wanted)), dict(_leaves(found))
    names = [*ours, *(name for name in theirs if name not in ours)]
    return [
        f"{name}: wanted {_shown(ours, name)}, found {_shown(theirs, name)}"
        for name in names
        if ours.get(name, _ABSENT) != theirs.get(name, _ABSENT)
    ]


def nearest(wanted: ArtefactKey, others: Iterable[tuple[str, ArtefactKey]]) -> str:
    """` (nearest is NAME, which differs in …)`, or nothing where there is no other."""
    found = [(differences(wanted, key), name) for name, key in others]
    if not found:
        return ""
    differing, name = min(found, key=lambda one: (len(one[0]), one[1]))
    return f" (nearest is {name}, which differs in {'; '.join(differing) or 'nothing'})"


_ABSENT = object()


def _leaves(key: ArtefactKey) -> Iterator[tuple[str, object]]:
    for name, value in key.model_dump(mode="json").items():
        if isinstance(value, dict):
            yield from ((f"{name}.{inner}", value[inner]) for inner in sorted(value))
        else:
            yield name, value


def _shown(leaves: Mapping[str, object], name: str) -> str:
    if name not in leaves:
        return "nothing"
    value = leaves[name]
    # A digest is told apart by its start, and a sentence holds two of them.
    if isinstance(value, str) and len(value) == 64:
        return value[:12]
    return json.dumps(value)

"""Which keys each configuration class takes. NxDI only logs one that it does not know, and drops
one inside the sampling configuration in silence; vLLM Neuron (Beta) drops all in silence.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent
NXDI_KEYS = FOLDER / "nxdi_config_keys.json"
"""Read from NxDI 4bcdc54, models/config.py: by class, what its constructor takes."""
BETA_KEYS = FOLDER / "vllm_neuron_keys.json"
"""Read from vLLM Neuron (Beta) 0.24, vllm_neuron/model/neuron_config.py."""

ROOT = "NeuronConfig"


@dataclass(frozen=True)
class KeySet:
    classes: Mapping[str, frozenset[str]]
    nested: Mapping[str, str]
    """The class of the object under a key; of other objects nothing is known, nor judged."""
    origin: str


@dataclass(frozen=True)
class Unknown:
    path: str
    """Dotted, from the object that was looked at."""
    key: str
    known_by: str
    """The class that does not take it."""
    near: str | None
    """What was probably meant."""

    @property
    def is_dashed(self) -> bool:
        return self.near == self.key.replace("-", "_") and "-" in self.key


@cache
def nxdi_keys() -> KeySet:
    raw = json.loads(NXDI_KEYS.read_text(encoding="utf-8"))
    return KeySet(
        classes={name: frozenset([*c["kwargs"], *c["init_args"]]) for name, c in raw.items()},
        nested={
            "on_device_sampling_config": "OnDeviceSamplingConfig",
            "chunked_prefill_config": "ChunkedPrefillConfig",
            "hybrid_sharding_config": "HybridShardingConfig",
            "tensor_capture_config": "TensorCaptureConfig",
            "tensor_replacement_config": "TensorReplacementConfig",
            "fused_spec_config": "FusedSpecNeuronConfig",
            "draft_config": "InferenceConfig",
            "neuron_config": ROOT,
        },
        origin="the keys read from NxDI 4bcdc54",
    )


@cache
def beta_keys() -> KeySet:
    raw = json.loads(BETA_KEYS.read_text(encoding="utf-8"))
    return KeySet(
        classes={name: frozenset(keys) for name, keys in raw.items()},
        nested={
            "on_device_sampling_config": "OnDeviceSamplingConfig",
            "tensor_capture": "TensorCaptureConfig",
            "tensor_replacement": "TensorReplacementConfig",
        },
        origin="the keys read from vLLM Neuron (Beta) 0.24",
    )


def unknown_keys(
    value: Mapping[str, object], keys: KeySet, *, of: str = ROOT, path: str = ""
) -> Iterator[Unknown]:
    """Every key under `value`, at any depth, that the class it goes to does not take."""
    known = keys.classes[of]
    for key, inner in value.items():
        here = f"{path}.{key}" if path else key
        if key not in known:
            yield Unknown(here, key, of, nearest(key, known))
        elif key in keys.nested and isinstance(inner, Mapping):
            yield from unknown_keys(inner, keys, of=keys.nested[key], path=here)


def nearest(key: str, known: frozenset[str]) -> str | None:
    """Underscores for dashes first, then the closest spelling."""
    underscored = key.replace("-", "_")
    if underscored in known:
        return underscored
    matches = difflib.get_close_matches(underscored, sorted(known), n=1, cutoff=0.75)
    return matches[0] if matches else None

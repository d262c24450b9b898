"""One NeuronConfig as a rule on its values sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from neuron.check.findings import Rule
from neuron.check.subject import Subject


@dataclass(frozen=True)
class View:
    """One NeuronConfig, and the engine it is for."""

    subject: Subject
    values: Mapping[str, Any]

    def on(self, key: str) -> bool:
        return self.values.get(key) is True

    @property
    def fused(self) -> bool:
        """The plugin fuses whenever there is a draft, unless told otherwise."""
        return bool(self.values.get("enable_fused_speculation", self.subject.draft is not None))

    @property
    def sampler(self) -> Mapping[str, Any]:
        given = self.values.get("on_device_sampling_config")
        return given if isinstance(given, Mapping) else {}

    @property
    def no_sampler(self) -> bool:
        key = "on_device_sampling_config"
        return key in self.values and self.values[key] is None

    @property
    def qwen2(self) -> bool:
        shapes = [side.geometry for side in self.subject.sides]
        return any(shape is not None and shape.model_type == "qwen2" for shape in shapes)


@dataclass(frozen=True)
class Guard:
    """A rule, the key it is about, when it applies, and its sentence after the key's name."""

    rule: Rule
    key: str
    applies: Callable[[View], bool]
    says: str

"""Rules on the values of a NeuronConfig, which NxDI takes without complaint and fails on later."""

from __future__ import annotations

from collections.abc import Iterator

from neuron.check.findings import Finding
from neuron.check.given import Part, is_saved, neuron_configs
from neuron.check.guards import GUARDS
from neuron.check.subject import Subject
from neuron.check.view import View

RULES = tuple(guard.rule for guard in GUARDS)


def check(subject: Subject) -> Iterator[Finding]:
    if not subject.over_nxdi:
        return
    for given in subject.configs:
        if is_saved(given.value):
            continue
        for part in neuron_configs(given, subject.pair):
            yield from _guarded(View(subject, part.value), part, given.origin)


def _guarded(view: View, part: Part, origin: str) -> Iterator[Finding]:
    for guard in GUARDS:
        if guard.applies(view):
            field = part.at(guard.key)
            yield guard.rule(field, f"Key {field!r} in {origin} {guard.says}.")

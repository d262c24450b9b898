"""Rules on the values of a NeuronConfig, which NxDI takes without complaint and fails on later."""

from __future__ import annotations

from collections.abc import Iterator

from neuron.check.findings import Finding
from neuron.check.given import Part, judged, neuron_configs
from neuron.check.guards import GUARDS
from neuron.check.subject import Subject
from neuron.check.view import View

RULES = tuple(guard.rule for guard in GUARDS)


def check(subject: Subject) -> Iterator[Finding]:
    for given in judged(subject):
        for part in neuron_configs(given, subject.pair):
            yield from _guarded(View(subject, part.value), part, given.origin)


def _guarded(view: View, part: Part, origin: str) -> Iterator[Finding]:
    for guard in GUARDS:
        if guard.applies(view):
            field = part.at(guard.key)
            yield guard.rule(field, f"Key {field!r} in {origin} {guard.says}.")

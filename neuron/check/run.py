"""All rules over one pair."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from neuron.check import (
    agreement,
    features,
    heads,
    keys,
    launch_lines,
    lengths,
    memory,
    models,
    overrides,
    speculative_lines,
    versions,
)
from neuron.check.findings import SEVERITIES, Finding, Report, Rule
from neuron.check.given import of_line
from neuron.check.lines import Line
from neuron.check.subject import Given, Subject, subject_of
from neuron.errors import ModelNotFoundError, PairError
from neuron.evidence import OURS, source
from neuron.hardware import Machine
from neuron.launch import Endpoint, render
from neuron.models import BUNDLED_PREFIX
from neuron.pair import Pair
from neuron.shapes import WEIGHTS

REFUSED = Rule(
    id="refused",
    severity="error",
    what="whatever else `neuron launch` refuses for the pair",
    source=source(OURS, "neuron/stacks", "X"),
)

Family = Callable[[Subject], Iterator[Finding]]

FAMILIES: Mapping[str, tuple[Family, tuple[Rule, ...]]] = MappingProxyType(
    {
        "Models": (models.check, models.RULES),
        "Cores": (heads.check, heads.RULES),
        "Memory": (memory.check, memory.RULES),
        "Lengths": (lengths.check, lengths.RULES),
        "Features": (features.check, features.RULES),
        "Keys of a configuration": (keys.check, keys.RULES),
        "Values of a NeuronConfig": (overrides.check, overrides.RULES),
        "Said twice": (agreement.check, agreement.RULES),
        "A launch line": (launch_lines.check, launch_lines.RULES),
        "Its speculation": (speculative_lines.check, speculative_lines.RULES),
        "Versions": (versions.check, versions.RULES),
    }
)
RULES: Mapping[str, Rule] = MappingProxyType(
    {rule.id: rule for _, rules in FAMILIES.values() for rule in (*rules, REFUSED)}
)

ANY_MACHINE = Machine(python=Path("python"), cores=1, cpu_flags=frozenset(), preload=())


def check(
    pair: Pair,
    *,
    config: Given | None = None,
    line: Line | None = None,
    driver: str | None = None,
    runtime: str | None = None,
) -> Report:
    """Everything that is known to be wrong with `pair`, errors first.

    `config` is what a file holds; `line` a launch line of the owner's own. Raises PairError for
    JSON that is none.
    """
    line = line or Line()
    configs = ([config] if config else []) + list(of_line(line))
    subject = subject_of(pair, configs=tuple(configs), line=line, driver=driver, runtime=runtime)
    found = [finding for family, _ in FAMILIES.values() for finding in family(subject)]
    if not any(finding.severity == "error" for finding in found):
        found += _refused(subject)
    ordered = sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))
    unchecked = tuple(side.role for side in subject.sides if side.geometry is None)
    return Report(pair=pair.name, stack=pair.stack, findings=tuple(ordered), unchecked=unchecked)


def _refused(subject: Subject) -> Iterator[Finding]:
    """A pair that passes is one that `neuron launch --dry-run` renders, `--plain` or not."""
    for plain in (False, True):
        try:
            render(
                subject.pair,
                Endpoint(port=1),
                plain=plain,
                machine=ANY_MACHINE,
                find=_folder,
                elsewhere=True,
            )
        except ModelNotFoundError:
            # The cpu stack reads both models' files; where they are not here, launching says so.
            return
        except PairError as error:
            yield REFUSED("--plain" if plain else "stack", str(error))
            return


def _folder(ref: str) -> Path:
    """Where the model is does not matter to the command's shape; a bundled one has its weights."""
    part = ref.removeprefix(BUNDLED_PREFIX)
    return WEIGHTS / part if ref != part else Path(ref)

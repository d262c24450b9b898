"""Rules on a host's driver and a container's runtime, shared with `neuron preflight`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from neuron.check.findings import Finding, Rule
from neuron.check.subject import Subject
from neuron.evidence import SDK, source

NOTES = source(SDK, "release-notes/components/runtime.rst", "D")

DRIVER = Rule(
    id="driver-old",
    severity="error",
    what="a driver too old for the runtime: runtime 2.32 and newer need a driver above 2.26",
    source=NOTES,
)
RUNTIME = Rule(
    id="runtime-old",
    severity="error",
    what="a runtime too old for the driver: driver 2.29 and newer need runtime 2.33",
    source=NOTES,
)
ASYNC = Rule(
    id="async-runtime",
    severity="error",
    what="NxDI's `async_mode` with runtime 2.34 or newer, which no longer has what it relies on",
    source=NOTES,
)
UNREADABLE = Rule(
    id="version",
    severity="error",
    what="a version given on the command line that is none",
    source=NOTES,
)
RULES = (DRIVER, RUNTIME, ASYNC, UNREADABLE)

Version = tuple[int, int]


def parse(text: str) -> Version | None:
    """Major and minor; None where the text holds no version."""
    found = re.match(r"v?(\d+)\.(\d+)", text.strip())
    return (int(found[1]), int(found[2])) if found else None


def faults(driver: str | None, runtime: str | None, *, nxdi_async: bool) -> Iterator[Finding]:
    """None: not known, so not compared."""
    have_driver = parse(driver) if driver else None
    have_runtime = parse(runtime) if runtime else None
    if have_driver is not None and have_runtime is not None:
        if have_runtime >= (2, 32) and have_driver <= (2, 26):
            yield DRIVER(
                "driver",
                f"Driver {driver} is too old for runtime {runtime}, which needs one above 2.26; "
                "update aws-neuronx-dkms on the host.",
            )
        if have_driver >= (2, 29) and have_runtime < (2, 33):
            yield RUNTIME(
                "runtime",
                f"Runtime {runtime} is too old for driver {driver}, which needs 2.33 or newer; "
                "take a newer image, or an older driver.",
            )
    if nxdi_async and have_runtime is not None and have_runtime > (2, 33):
        yield ASYNC(
            "async_mode",
            f"Key 'async_mode' needs implicit async execution, which runtime {runtime} no longer "
            "has; leave the key out, or keep the image of SDK 2.31.",
        )


def check(subject: Subject) -> Iterator[Finding]:
    for field, text in (("driver", subject.driver), ("runtime", subject.runtime)):
        if text is not None and parse(text) is None:
            yield UNREADABLE(
                field, f"Option --{field} {text} is no version; give one such as 2.33."
            )
    wants_async = any(_async(given.value) for given in subject.configs)
    yield from faults(subject.driver, subject.runtime, nxdi_async=wants_async)


def _async(value: object) -> bool:
    """Anywhere inside: it is one key, under whichever name it is given."""
    if not isinstance(value, dict):
        return False
    return value.get("async_mode") is True or any(_async(inner) for inner in value.values())

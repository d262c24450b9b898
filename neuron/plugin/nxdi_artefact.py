"""Our note beside a compiled artefact: NxDI loads a directory compiled for anything as it is.

Neither another batch, length, k or TP nor another repair is noticed at load; the first sign would
be wrong tokens or slow ones. So what was compiled is written down and compared.
"""

from __future__ import annotations

import json
from pathlib import Path

from neuron.errors import LaunchError
from neuron.plugin.nxdi_repairs import Repaired
from neuron.plugin.nxdi_settings import NxdiSettings

NOTE = "specserve.json"
COMPILED = "model.pt"
"""Written last by NxDI's compile: NXDI 4bcdc54, models/application_base.py:48, 312."""

Note = dict[str, object]


def note_of(settings: NxdiSettings, repaired: Repaired, version: str) -> Note:
    what = settings.model_dump(exclude={"artefacts"})
    return {**what, "repairs": list(repaired.applied), "nxdi": version}


def is_compiled(settings: NxdiSettings) -> bool:
    return (Path(settings.artefacts) / COMPILED).is_file()


def write_note(settings: NxdiSettings, note: Note) -> None:
    text = json.dumps(note, indent=2, sort_keys=True) + "\n"
    (Path(settings.artefacts) / NOTE).write_text(text, encoding="utf-8")


def check_note(settings: NxdiSettings, wanted: Note) -> None:
    """Raises LaunchError where the artefact was compiled for something else, or by another."""
    path = Path(settings.artefacts) / NOTE
    remedy = "give another folder in 'artefacts', or remove this one to compile again"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LaunchError(
            f"{path.parent} holds a compiled model without our note {NOTE}, so nobody knows what "
            f"it was compiled for: {remedy}."
        ) from error
    if not isinstance(found, dict):
        raise LaunchError(f"{path} is not our note: {remedy}.")
    differing = sorted(key for key in {*wanted, *found} if wanted.get(key) != found.get(key))
    if differing:
        said = ", ".join(
            f"{key} = {found.get(key)!r} instead of {wanted.get(key)!r}" for key in differing
        )
        raise LaunchError(f"The artefact in {path.parent} was compiled for {said}: {remedy}.")

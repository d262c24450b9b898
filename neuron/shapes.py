"""From what a pair calls a model to its shape, whether or not its weights are here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from neuron.catalogue import Geometry, by_folder_name, catalogue
from neuron.errors import ModelNotFoundError, PairError
from neuron.models import BUNDLED_PREFIX, KNOWN_MODELS, did_you_mean

WEIGHTS = Path(__file__).parent / "local" / "weights"
BY_HUB_ID = {hub_id.lower(): name for name, hub_id in KNOWN_MODELS.items()}


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What is known of one model."""

    ref: str
    geometry: Geometry | None = None
    """None: no `config.json` here, and no name that the catalogue knows."""
    guessed: bool = False
    """The shape follows from the folder's name alone."""
    problem: PairError | ModelNotFoundError | None = None
    """A `config.json` that is there and cannot be used."""
    missing: str | None = None
    """Why it is no model on any machine, as a clause with the way out."""


def look_up(ref: str) -> Shape:
    """In the order of `neuron.models.locate`: a known name, a folder here, then the name alone."""
    if ref.lower() in catalogue():
        return Shape(ref=ref, geometry=catalogue()[ref.lower()])
    bundled = ref.startswith(BUNDLED_PREFIX)
    folder = WEIGHTS / ref.removeprefix(BUNDLED_PREFIX) if bundled else Path(ref).expanduser()
    if (folder / "config.json").is_file():
        try:
            return Shape(ref=ref, geometry=Geometry.of_config(folder))
        except (PairError, ModelNotFoundError) as error:
            return Shape(ref=ref, problem=error)
    if ref.lower() in BY_HUB_ID:
        return Shape(ref=ref, geometry=catalogue()[BY_HUB_ID[ref.lower()]])
    named = by_folder_name(folder.name)
    return Shape(ref=ref, geometry=named, guessed=True, missing=_missing(ref, folder))


def shape_of(ref: str) -> Geometry:
    """`ref` may also be a `config.json` itself.

    Raises ModelNotFoundError, and PairError for a config that is not a dense decoder's.
    """
    if ref.startswith(BUNDLED_PREFIX):
        raise ModelNotFoundError(
            f"{ref!r} is of the small pair for the CPU, and the cost model is of Trainium2: give "
            "a name that `neuron models` lists, or a folder."
        )
    if Path(ref).expanduser().is_file():
        return Geometry.of_config(ref)
    found = look_up(ref)
    if found.problem is not None:
        raise found.problem
    if found.geometry is None:
        why = found.missing or (
            "it is not on this machine, and its name tells no shape; give its folder or "
            "config.json, or a name that `neuron models` lists"
        )
        raise ModelNotFoundError(f"{ref!r}: {why}.")
    return found.geometry


def _missing(ref: str, folder: Path) -> str | None:
    """`neuron.models.locate` refuses the same two; a path or hub id may be on another machine."""
    if folder.exists():
        return f"{folder} is here and has no config.json; give the folder of a model"
    if "/" in ref or ref.startswith((".", "~")):
        return None
    return (
        f"it is no known name{did_you_mean(ref)}, no folder and no hub id of the form owner/name; "
        "`neuron models` lists the names"
    )

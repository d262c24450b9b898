"""What is checked: a pair, the shapes of its models, and what else it would be launched with."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from neuron.catalogue import Geometry, by_folder_name, catalogue
from neuron.check.lines import Line
from neuron.errors import ModelNotFoundError, PairError
from neuron.models import BUNDLED_PREFIX, KNOWN_MODELS
from neuron.pair import Pair
from neuron.stacks.capabilities import Capabilities
from neuron.stacks.registry import capabilities

WEIGHTS = Path(__file__).parents[1] / "local" / "weights"
BY_HUB_ID = {hub_id.lower(): name for name, hub_id in KNOWN_MODELS.items()}

Role = Literal["target", "draft"]


@dataclass(frozen=True)
class Side:
    """One model of the pair."""

    role: Role
    ref: str
    geometry: Geometry | None = None
    """None: no `config.json` here, and no name that the catalogue knows."""
    guessed: bool = False
    """The shape follows from the folder's name alone."""
    problem: str | None = None
    """A `config.json` that is there and cannot be used, in a sentence."""
    missing: str | None = None
    """Why it is no model on any machine, as a clause with the way out."""

    @property
    def is_hub_id(self) -> bool:
        return is_hub_id(self.ref)


@dataclass(frozen=True)
class Given:
    """JSON for `--additional-config` or `--override-neuron-config`."""

    value: Mapping[str, Any]
    origin: str
    """A file, or the flag it stood behind."""


@dataclass(frozen=True)
class Subject:
    pair: Pair
    target: Side
    draft: Side | None
    capabilities: Capabilities
    plain: Capabilities
    """Of the same target without the draft."""
    configs: tuple[Given, ...] = ()
    line: Line = field(default_factory=Line)
    driver: str | None = None
    """Version of the host's driver, where it is known; likewise the runtime's."""
    runtime: str | None = None

    @property
    def sides(self) -> list[Side]:
        return [self.target] if self.draft is None else [self.target, self.draft]

    @property
    def on_neuron(self) -> bool:
        return self.pair.stack != "cpu"

    @property
    def over_nxdi(self) -> bool:
        return self.pair.stack in ("nxdi", "legacy")

    @property
    def rows(self) -> int:
        """Positions that one step verifies; NxDI's k."""
        return self.pair.num_draft_tokens + 1 if self.draft else 1


def subject_of(
    pair: Pair,
    *,
    configs: tuple[Given, ...] = (),
    line: Line | None = None,
    driver: str | None = None,
    runtime: str | None = None,
) -> Subject:
    return Subject(
        pair=pair,
        target=side_of("target", pair.target),
        draft=side_of("draft", pair.draft) if pair.draft else None,
        capabilities=capabilities(pair),
        plain=capabilities(pair, plain=True),
        configs=configs,
        line=line or Line(),
        driver=driver,
        runtime=runtime,
    )


def side_of(role: Role, ref: str) -> Side:
    """From a `config.json` if there is one, else from the catalogue by name."""
    folder = Path(ref).expanduser()
    if ref.startswith(BUNDLED_PREFIX):
        folder = WEIGHTS / ref.removeprefix(BUNDLED_PREFIX)
    if (folder / "config.json").is_file():
        try:
            return Side(role, ref, Geometry.of_config(folder))
        except (PairError, ModelNotFoundError) as error:
            return Side(role, ref, problem=str(error))
    name = BY_HUB_ID.get(ref.lower(), ref.lower())
    if name in catalogue():
        return Side(role, ref, catalogue()[name])
    shape = by_folder_name(folder.name)
    return Side(role, ref, shape, guessed=True, missing=_missing(ref, folder))


def _missing(ref: str, folder: Path) -> str | None:
    """`neuron.models.locate` refuses the same two; a path or hub id may be on another machine."""
    if folder.exists():
        return f"{folder} is here and has no config.json; give the folder of a model"
    if "/" in ref or ref.startswith((".", "~")):
        return None
    near = difflib.get_close_matches(ref.lower(), {*catalogue(), *KNOWN_MODELS}, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}" if near else "`neuron models` lists the names"
    return f"it is no known name, no folder and no hub id of the form owner/name; {hint}"


def is_hub_id(ref: str) -> bool:
    return ref.count("/") == 1 and not ref.startswith((".", "/", "~")) and not Path(ref).exists()

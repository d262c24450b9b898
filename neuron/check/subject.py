"""What is checked: a pair, the shapes of its models, and what else it would be launched with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from neuron.check.lines import Line
from neuron.pair import Pair
from neuron.shapes import Shape, look_up
from neuron.stacks.capabilities import Capabilities
from neuron.stacks.registry import capabilities

Role = Literal["target", "draft"]


@dataclass(frozen=True, kw_only=True)
class Side(Shape):
    """One model of the pair."""

    role: Role

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
    return Side(role=role, **vars(look_up(ref)))


def is_hub_id(ref: str) -> bool:
    return ref.count("/") == 1 and not ref.startswith((".", "/", "~")) and not Path(ref).exists()

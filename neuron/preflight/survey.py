"""What was looked for on a machine, and what to do about what is not right."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from neuron.evidence import Source

State = Literal["ok", "failed", "warning", "unknown"]
"""unknown: it could not be told, or an earlier line makes it pointless."""


class Line(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    id: str
    state: State
    found: str
    """A clause about this machine."""
    fix: str | None = None
    """What to do, in a sentence; None where nothing is wrong."""
    source: Source


class Survey(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    pair: str | None
    lines: tuple[Line, ...]

    def of(self, state: State) -> list[Line]:
        return [line for line in self.lines if line.state == state]

    @property
    def ready(self) -> bool:
        return not self.of("failed")

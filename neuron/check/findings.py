"""What a check says, and the rules it may say it by."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from neuron.evidence import Source

Severity = Literal["error", "warning", "note"]
"""error: it cannot work. warning: it works, but not as meant. note: worth knowing."""

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


class Finding(BaseModel):
    """One sentence about one field."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    id: str
    severity: Severity
    field: str
    """A key of the pair, a path in the JSON, or a flag."""
    message: str
    """One sentence that names the field and the way out."""
    source: Source


class Rule(BaseModel):
    """Calling it with a field and a sentence makes the finding."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    id: str
    severity: Severity
    what: str
    """For docs/check.md: what it looks for, without a full stop."""
    source: Source

    def __call__(self, field: str, message: str, *, source: Source | None = None) -> Finding:
        return Finding(
            id=self.id,
            severity=self.severity,
            field=field,
            message=message,
            source=source or self.source,
        )


class Report(BaseModel):
    """All findings on one pair, errors first."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    pair: str
    stack: str
    findings: tuple[Finding, ...]
    unchecked: tuple[str, ...] = ()
    """Models of which no shape is known, so that what follows from one was not looked at."""

    def of(self, severity: Severity) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity == severity]

    @property
    def works(self) -> bool:
        """As far as anything here can tell."""
        return not self.of("error")

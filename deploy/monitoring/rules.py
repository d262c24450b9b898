"""Rules of Prometheus, and the file that holds them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import yaml


@dataclass(frozen=True)
class Record:
    name: str
    expr: str
    labels: dict[str, str] = field(default_factory=dict)

    def render(self) -> dict[str, Any]:
        labels = {"labels": self.labels} if self.labels else {}
        return {"record": self.name, "expr": self.expr, **labels}


@dataclass(frozen=True)
class Alert:
    name: str
    expr: str
    for_: str
    """How long it must hold before anybody is told."""
    severity: Literal["page", "ticket"]
    summary: str
    what: str
    """With Prometheus's templates, one or two sentences."""

    @property
    def anchor(self) -> str:
        """Of its heading in the runbook."""
        return re.sub(r"(?<!^)(?=[A-Z])", "-", self.name.removeprefix("Specserve")).lower()

    def render(self, docs: str) -> dict[str, Any]:
        return {
            "alert": self.name,
            "expr": self.expr,
            "for": self.for_,
            "labels": {"severity": self.severity, "service": "specserve"},
            "annotations": {
                "summary": self.summary,
                "description": self.what,
                "runbook_url": f"{docs}/runbook.md#{self.anchor}",
            },
        }


class _Dumper(yaml.SafeDumper):
    pass


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def groups(records: Sequence[Record], alerts: Sequence[Alert], docs: str) -> dict[str, Any]:
    """What a rule file holds, and the `spec` of a PrometheusRule."""
    return {
        "groups": [
            {"name": "specserve-records", "rules": [one.render() for one in records]},
            {"name": "specserve-alerts", "rules": [one.render(docs) for one in alerts]},
        ]
    }


def to_yaml(document: dict[str, Any]) -> str:
    text: str = yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=100, allow_unicode=True)
    return text

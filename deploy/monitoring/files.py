"""The files that are kept beside the code that renders them; a test holds them equal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from deploy.monitoring.alerts import alerts
from deploy.monitoring.dashboards import DASHBOARDS
from deploy.monitoring.objectives import Objectives
from deploy.monitoring.recorded import always
from deploy.monitoring.rules import Record, groups, to_yaml
from deploy.monitoring.scrape import config

FOLDER = Path(__file__).parent
DOCS = "docs"
"""Where a runbook is looked up, unless `--docs-url` says where it can be read."""


def rule_groups(
    objectives: Objectives, site: tuple[Record, ...] = (), docs: str = DOCS
) -> dict[str, Any]:
    return groups((*always(), *site), alerts(objectives), docs)


def rendered() -> dict[Path, str]:
    dashboards = {
        FOLDER / "grafana" / f"{one.slug}.json": json.dumps(
            one.render(), indent=1, ensure_ascii=False
        )
        + "\n"
        for one in DASHBOARDS
    }
    prometheus = FOLDER / "prometheus"
    return {
        **dashboards,
        prometheus / "rules.yml": to_yaml(rule_groups(Objectives())),
        prometheus / "prometheus.yml": config(),
    }

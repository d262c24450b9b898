"""What the runbook says of sizing is what the plan says, and its links lead somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from neuron.cli import main

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("runbook.md", "watching.md", "deploy.md", "ec2.md", "security.md", "cost.md")


def test_the_plan_that_is_shown_is_what_the_command_prints() -> None:
    sizing = (DOCS / "runbook.md").read_text().partition("\n# Sizing\n")[2]
    command, shown = re.findall(r"```(?:sh)?\n(.*?)```", sizing, re.DOTALL)[:2]
    answer = CliRunner().invoke(main, shlex.split(command)[1:], catch_exceptions=False)
    assert shown in answer.stdout


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", (DOCS / name).read_text()):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        page = DOCS / (path or name)
        assert page.is_file(), target
        assert not anchor or anchor in anchors(page), target

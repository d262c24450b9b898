"""What the runbook says of sizing is what the plan says, and its links lead somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from deploy.aws.bundle import SYSTEMD
from neuron.cli import main
from tests.deploy.chart import manifests, of_kind
from tests.deploy.test_bundle import runs
from tests.deploy.test_chart import PLUGIN

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


def where() -> dict[str, tuple[str, str]]:
    """What stands where, on a host and on Kubernetes."""
    table = (DOCS / "runbook.md").read_text().partition("\n## ")[0]
    lines = [line for line in table.splitlines() if line.startswith("| ") and "`" in line]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {name: (host, pods) for name, host, pods in cells[1:]}


def test_a_host_has_the_units_and_logs_that_the_page_names() -> None:
    told = {name: host for name, (host, _) in where().items()}
    units = {path.name.removesuffix(".service") for path in SYSTEMD.glob("*.service")}
    named = re.findall(r"specserve-[\w-]+@?", " ".join(told.values()))
    assert set(named) <= units
    assert len(named) == 5
    streams = re.findall(r"awslogs-stream=\${NAME}/(\S+)", " ".join(dict(runs()).values()))
    for log in ("the gateway's log", "an engine's log"):
        (stream,) = re.findall(r"NAME/([\w-]+)", told[log])
        assert stream.replace("-0", "-%i") in streams
    gateway = (SYSTEMD / "specserve-gateway.service").read_text()
    assert "ExecReload=/usr/bin/docker kill --signal HUP" in gateway
    assert "/etc/specserve/gateway.toml" in told["the gateways' file and SIGHUP"]
    assert "--config /etc/specserve/gateway.toml" in gateway


def test_a_cluster_has_what_the_page_names() -> None:
    told = " ".join(pods for _, pods in where().values())
    names = {one["metadata"]["name"] for one in manifests(PLUGIN)}
    found = {name.removesuffix("-0") for name in re.findall(r"\bqwen-[\w-]+", told)}
    assert found == {"qwen-gateway", "qwen-speculative"} <= names
    pod = of_kind(PLUGIN, "StatefulSet")["qwen-speculative"]["spec"]["template"]["spec"]
    parts = {one["name"] for one in [*pod["containers"], *pod["initContainers"]]}
    assert set(re.findall(r"-c ([\w-]+)", told)) == {"engine", "pull-2"} <= parts
    assert pod["initContainers"][2]["command"][1] == "artefacts"

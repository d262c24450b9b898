"""docs/ec2.md, security.md and cost.md against the code."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from deploy.aws.blocks import TERMINATION
from deploy.aws.bundle import DRAIN_TIMEOUT_S, SYSTEMD
from deploy.aws.cli import main
from deploy.aws.commands.shared import EXIT_CODES
from deploy.aws.launch import SLACK
from neuron.cli import main as neuron
from tests.deploy.conftest import LAUNCH, Account
from tests.deploy.fake_aws import offering

ROOT = Path(__file__).parents[2]
EC2 = (ROOT / "docs/ec2.md").read_text(encoding="utf-8")
COST = (ROOT / "docs/cost.md").read_text(encoding="utf-8")
POLICY = json.loads((ROOT / "deploy/cloudformation/operator-policy.json").read_text())

ACTIONS = {
    "PUT object": ["s3:PutObject"],
    "GET object": ["s3:GetObject", "s3:ListBucket"],
    "DELETE object": ["s3:DeleteObject"],
    "SendCommand": ["ssm:SendCommand"],
    "GetCommandInvocation": ["ssm:GetCommandInvocation"],
    "RunInstances": ["ec2:RunInstances", "ec2:CreateTags", "iam:PassRole"],
}
"""What a call needs, where it is not the action of its own name in EC2."""


def rows(page: str, heading: str) -> list[list[str]]:
    section = page.partition(heading)[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def test_every_command_is_on_the_page_and_none_else() -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", EC2, re.MULTILINE)) == set(main.commands)


def test_exit_codes_are_those_of_help() -> None:
    documented = re.findall(r"^\| (\d) \| (.+) \|$", EC2, re.MULTILINE)
    assert documented == re.findall(r"^  (\d)  (.+)$", EXIT_CODES, re.MULTILINE)


def test_every_unit_is_explained_and_none_else() -> None:
    documented = set(re.findall(r"^\| `(specserve-[\w-]+)(?:@N)?` \|", EC2, re.MULTILINE))
    assert documented == {path.stem.rstrip("@") for path in SYSTEMD.glob("*.service")}


def test_the_drain_is_when_the_page_says() -> None:
    assert "30 minutes before" in EC2
    assert TERMINATION.total_seconds() == 1800
    assert "Five minutes and the longest answer (10 minutes) earlier" in EC2
    assert (SLACK.total_seconds(), DRAIN_TIMEOUT_S) == (300, 600)


def test_the_operator_is_allowed_what_is_called_and_nothing_else(account: Account) -> None:
    calls: set[str] = set()
    account.aws.offerings.append(offering("cb-1", "53.76"))
    name = "policy"
    for command in (
        ("buy", name, "--hours", "24", "--under", "60", "--confirm-purchase"),
        ("launch", name, *LAUNCH),
        ("launch", name, *LAUNCH),
        ("drain", name, "--apply"),
        ("down", name, "--apply"),
    ):
        done = account.run(*command)
        assert done.exit_code == 0, done.output
        calls.update(account.aws.calls)
    needed = {action for call in calls for action in ACTIONS.get(call, [f"ec2:{call}"])}
    allowed: set[str] = set()
    for statement in POLICY["Statement"]:
        actions = statement["Action"]
        allowed.update([actions] if isinstance(actions, str) else actions)
    assert needed == allowed


def planned(target: str, draft: str, instance: str, tp: str, batch: str) -> dict[str, Any]:
    argv = ["plan", "--target", target, "--draft", draft, "--instance", instance, "--json"]
    argv += ["--acceptance", "0.85", "--tp", tp, "--batch", batch]
    done = CliRunner().invoke(neuron, argv, catch_exceptions=False)
    assert done.exit_code == 0
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.mark.parametrize("row", rows(COST, "## Modelled"), ids=lambda row: " ".join(row[:3]))
def test_modelled_costs_are_those_of_the_plan(row: list[str]) -> None:
    target, draft, instance, tp, batch, price, plain, speculative, rate = row
    answer = planned(target, draft, instance, tp, batch)
    one = answer["candidates"][0]
    assert f"{answer['dollars_per_hour']:.2f}" == price
    assert f"{one['modelled_plain']['dollars_per_million_tokens']:.2f}" == plain
    assert f"{one['modelled_speculative']['dollars_per_million_tokens']:.2f}" == speculative
    assert f"{one['modelled_speculative']['tokens_per_s_per_instance']:.0f}" == rate

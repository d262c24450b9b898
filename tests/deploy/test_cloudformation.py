"""The template: cfn-lint finds nothing, and what it says twice is said alike."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.aws.bundle import FIRST_BOOT, first_boot
from deploy.aws.names import BUCKET_TAG, LOG_GROUP_TAG, VPC_TAG
from neuron.artefacts.policy import Role, policy

TEMPLATE = Path(__file__).parents[2] / "deploy/cloudformation/specserve.yaml"
REGIONS = ("us-east-2", "ap-south-2", "ap-southeast-4", "sa-east-1")
"""Where Trainium2 was offered in October 2026."""
LINT = str(Path(sys.executable).with_name("cfn-lint"))


class Loader(yaml.SafeLoader):
    """CloudFormation's short tags as what they stand for."""


def _short(loader: Loader, tag: str, node: yaml.Node) -> dict[str, Any]:
    name = tag if tag in ("Ref", "Condition") else f"Fn::{tag}"
    if isinstance(node, yaml.ScalarNode):
        return {name: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    raise TypeError(node)


Loader.add_multi_constructor("!", _short)


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.load(TEMPLATE.read_text(), Loader)  # noqa: S506 - it is safe
    return loaded


def test_cfn_lint_finds_nothing_but_what_is_wrong(tmp_path: Path) -> None:
    """One run for both, as it costs seconds to start."""
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(TEMPLATE.read_text().replace("VolumeType: gp3", "VolumeType: gp9"))
    argv = [LINT, "--format", "parseable", "--regions", *REGIONS, "--", str(TEMPLATE), str(wrong)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=300)
    assert done.stderr == ""
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == [str(wrong)]
    assert "gp9" in done.stdout


def statements(template: dict[str, Any]) -> dict[str, dict[str, Any]]:
    document = template["Resources"]["Role"]["Properties"]["Policies"][0]["PolicyDocument"]
    return {one["Sid"]: one for one in document["Statement"] if "Sid" in one}


def resolved(value: object) -> object:
    """For the bucket `bucket` in the partition aws."""
    if value == {"Fn::GetAtt": "Bucket.Arn"}:
        return "arn:aws:s3:::bucket"
    if isinstance(value, dict) and "Fn::Sub" in value:
        return value["Fn::Sub"].replace("${Bucket.Arn}", "arn:aws:s3:::bucket")
    return value


@pytest.mark.parametrize(("role", "branch"), [("publisher", 1), ("reader", 2)])
def test_a_host_may_do_with_artefacts_what_its_role_needs(
    template: dict[str, Any], role: Role, branch: int
) -> None:
    wanted = {one["Sid"]: one for one in policy("s3://bucket/neuron", role)["Statement"]}
    found = statements(template)
    assert found["Objects"]["Action"]["Fn::If"][branch] == wanted["Objects"]["Action"]
    for name in ("Objects", "ListBelowThePrefix"):
        assert resolved(found[name]["Resource"]) == wanted[name]["Resource"]
    listed = found["ListBelowThePrefix"]
    assert listed["Condition"] == wanted["ListBelowThePrefix"]["Condition"]
    assert listed["Action"] == wanted["ListBelowThePrefix"]["Action"]


def test_no_statement_has_a_wildcard_action_and_few_have_every_resource(
    template: dict[str, Any],
) -> None:
    for name, one in statements(template).items():
        assert "*" not in str(one["Action"])
        assert (one["Resource"] == "*") == (name in ("ImageToken", "SystemsManagerAgent"))


def test_the_command_finds_what_the_template_tags(template: dict[str, Any]) -> None:
    properties = template["Resources"]["LaunchTemplate"]["Properties"]
    tags = properties["TagSpecifications"][0]["Tags"]
    assert {one["Key"] for one in tags} == {BUCKET_TAG, VPC_TAG, LOG_GROUP_TAG}
    assert properties["LaunchTemplateName"] == {"Fn::Sub": "${AWS::StackName}"}


def test_an_instance_of_the_stack_boots_as_one_of_the_command(template: dict[str, Any]) -> None:
    data = template["Resources"]["LaunchTemplate"]["Properties"]["LaunchTemplateData"]
    inline = data["UserData"]["Fn::If"][1]["Fn::Base64"]["Fn::Sub"]
    assert inline == FIRST_BOOT.read_text()
    filled = first_boot("us-east-2", "bucket", "hosts/day/x.tar.gz", "0" * 64)
    assert "${" not in filled
    assert "s3://bucket/hosts/day/x.tar.gz" in filled


def test_nothing_is_open_unless_it_is_asked_for(template: dict[str, Any]) -> None:
    group = template["Resources"]["SecurityGroup"]["Properties"]
    for rule in group["SecurityGroupIngress"]:
        condition, opened, closed = rule["Fn::If"]
        assert condition in ("OpensApi", "OpensMetrics")
        assert opened["CidrIp"] == {
            "Ref": "ApiCidr" if condition == "OpensApi" else "MonitoringCidr"
        }
        assert closed == {"Ref": "AWS::NoValue"}
    for name in ("ApiCidr", "MonitoringCidr"):
        assert template["Parameters"][name]["Default"] == ""

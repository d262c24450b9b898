"""docs/security.md against the template, the units, the chart and the programs."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

import helm_python
import pytest
import yaml
from click.testing import CliRunner

from deploy import ports
from deploy.aws.bundle import HostSettings, files
from deploy.aws.cli import main as ec2
from neuron.artefacts.policy import Role, policy
from server.cli import main as server
from server.keys import RANDOM_BYTES
from server.settings import Settings
from tests.deploy.chart import given, manifests, merged, of_kind
from tests.deploy.dockerfile import ROOT
from tests.deploy.test_bundle import HALF, SMALL, runs
from tests.deploy.test_chart import DRA, PLUGIN, every_case
from tests.deploy.test_cloudformation import TEMPLATE, Loader, statements
from tests.deploy.test_pages import rows

PAGE = (ROOT / "docs/security.md").read_text(encoding="utf-8")
STACK: dict[str, Any] = yaml.load(TEMPLATE.read_text(), Loader)  # noqa: S506 - it is safe
RESOURCES = STACK["Resources"]
LAUNCHED = RESOURCES["LaunchTemplate"]["Properties"]["LaunchTemplateData"]
BUCKET = RESOURCES["Bucket"]["Properties"]
OPEN = {row[0]: row[1:] for row in rows(PAGE, "## What is open")}
ENCRYPTED = {row[0]: row[1:] for row in rows(PAGE, "## What is encrypted")}
THREATS = {row[0]: row[1:] for row in rows(PAGE, "## Threats")}
ANYWHERE = "0.0.0.0/0"
AGENT = "169.254.170.23/32"
"""Pod Identity's, on each node."""
SELECTS = {"app.kubernetes.io/instance": "qwen", "specserve/role": "engine"}


def listens(settings: HostSettings) -> str:
    host: str = tomllib.loads(files(settings)["/etc/specserve/gateway.toml"][0])["host"]
    return host


class TestHost:
    def test_a_gateway_without_keys_is_on_loopback(self) -> None:
        assert "loopback, if the launch names no `--keys-secret`" in OPEN["gateway"][1]
        assert (listens(SMALL), listens(HALF)) == ("127.0.0.1", "0.0.0.0")  # noqa: S104

    def test_an_engine_is_on_loopback(self) -> None:
        assert OPEN["engine"][1].startswith("loopback.")
        assert "--host 127.0.0.1" in dict(runs())["specserve-engine@.service"]

    def test_no_other_port_is_let_in_and_nobody_has_a_key_for_ssh(self) -> None:
        assert OPEN["SSH"][1].startswith("not open")
        let_in = RESOURCES["SecurityGroup"]["Properties"]["SecurityGroupIngress"]
        told = {rule["Fn::If"][1]["FromPort"] for rule in let_in}
        assert told == {ports.GATEWAY, ports.GATEWAY_METRICS}
        assert "KeyName" not in LAUNCHED

    def test_out_is_by_one_port(self) -> None:
        (out,) = RESOURCES["SecurityGroup"]["Properties"]["SecurityGroupEgress"]
        assert (OPEN["out"][0], out["FromPort"], out["ToPort"]) == ("443", 443, 443)
        assert (OPEN["out"][1].partition(";")[0], out["CidrIp"]) == ("everywhere", ANYWHERE)

    def test_metadata_needs_a_session_and_is_one_hop_away(self) -> None:
        assert THREATS["metadata by a forged request"][0] == "IMDSv2 only, one hop"
        options = LAUNCHED["MetadataOptions"]
        assert (options["HttpTokens"], options["HttpPutResponseHopLimit"]) == ("required", 1)

    def test_what_is_left_of_a_stack_is_what_the_page_says(self) -> None:
        kept = {name for name, one in RESOURCES.items() if one.get("DeletionPolicy") == "Retain"}
        assert "The bucket and the log group stay" in PAGE
        assert kept == {"Bucket", "LogGroup"}


class TestEncrypted:
    def test_the_gateway_speaks_no_tls(self) -> None:
        assert "the gateway has no TLS" in ENCRYPTED["client to gateway"][0]
        assert not [name for name in Settings.model_fields if re.search("tls|ssl|cert", name)]

    def test_the_bucket_takes_tls_alone_and_keeps_versions_for_a_while(self) -> None:
        (rule,) = RESOURCES["BucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]
        assert "the bucket refuses anything else" in ENCRYPTED["host to AWS"][0]
        assert (rule["Effect"], rule["Action"], rule["Principal"]) == ("Deny", "s3:*", "*")
        assert rule["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        (how,) = BUCKET["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert how["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
        rules = {rule["Id"]: rule for rule in BUCKET["LifecycleConfiguration"]["Rules"]}
        days = rules["WhatWasReplacedOrRemoved"]["NoncurrentVersionExpiration"]["NoncurrentDays"]
        assert ENCRYPTED["bucket"][0] == f"SSE-S3; versions kept for {days} days"
        assert all(BUCKET["PublicAccessBlockConfiguration"].values())

    def test_the_root_disk_is(self) -> None:
        (disk,) = LAUNCHED["BlockDeviceMappings"]
        assert "EBS encryption" in ENCRYPTED["root disk"][0]
        assert disk["Ebs"]["Encrypted"] is True

    def test_logs_have_their_days_and_no_prompts(self) -> None:
        days = RESOURCES["LogGroup"]["Properties"]["RetentionInDays"]
        assert f"{days} days" in ENCRYPTED["logs"][0]
        assert "without `--log-prompts`" in ENCRYPTED["logs"][0]
        assert Settings.model_fields["log_prompts"].default is False
        # vLLM's own are off unless they are asked for.
        assert not any("log-requests" in command for command in dict(runs()).values())

    def test_a_key_is_nowhere_but_with_its_owner(self) -> None:
        made = CliRunner().invoke(server, ["keys", "new", "--name", "team-a"])
        token = made.stderr.split()[-1]
        (entry,) = tomllib.loads(made.stdout)["keys"]
        assert f"SHA-256 of {8 * RANDOM_BYTES} random bits" in ENCRYPTED["API keys"][0]
        assert entry["hash"] == f"sha256:{hashlib.sha256(token.encode()).hexdigest()}"
        assert token not in made.stdout


class TestRights:
    """Of each row, what stands in its second cell against the policy."""

    ROWS = rows(PAGE, "## What may be done in the account")

    def told(self, who: str) -> set[str]:
        """Of a row and those below it that name nobody; `service:…` is all of a service."""
        found: set[str] = set()
        name = ""
        for row in self.ROWS:
            name = row[0] or name
            if name == who:
                found.update(re.findall(r"`(\w+:[\w…]+)`", row[1]))
        assert found
        return found

    def test_of_a_host(self) -> None:
        told = self.told("an EC2 host")
        document = RESOURCES["Role"]["Properties"]["Policies"][0]["PolicyDocument"]
        allowed = set(actions(document["Statement"]))
        whole = {one.partition(":")[0] for one in told if one.endswith(":…")}
        assert {one for one in allowed if one.partition(":")[0] not in whole} == {
            one for one in told if not one.endswith("…")
        }
        assert whole == {"ssmmessages", "ec2messages"}
        assert statements(STACK)["Objects"]["Resource"] == {"Fn::Sub": "${Bucket.Arn}/neuron/*"}

    @pytest.mark.parametrize(
        ("who", "role"), [("engine pods", "reader"), ("the compile Job", "publisher")]
    )
    def test_of_pods(self, who: str, role: Role) -> None:
        told = self.told(who) | self.told("engine pods")
        statements = policy("s3://bucket/prefix", role)["Statement"]
        assert told == set(actions(statements))
        assert all("bucket" in one["Resource"] for one in statements)

    def test_a_purchase_is_a_right_of_its_own_and_none_is_made_unasked(self) -> None:
        said = THREATS["a purchase by mistake"][0]
        assert said == "dry run by default, a limit, a flag, a permission of its own"
        document = json.loads((ROOT / "deploy/cloudformation/operator-policy.json").read_text())
        spends = [one for one in document["Statement"] if "Purchase" in str(one["Action"])]
        assert [one["Action"] for one in spends] == ["ec2:PurchaseCapacityBlock"]
        needed = {one.name: one for one in ec2.commands["buy"].params}
        assert needed["under"].required
        # tests/deploy/test_blocks.py: without it nothing is bought.
        assert "--confirm-purchase" in needed["confirm_purchase"].opts


def actions(statements: list[dict[str, Any]]) -> Iterator[str]:
    """Both branches of a condition."""
    for one in statements:
        for each in one.get("Fn::If", [None, one])[1:]:
            if "Action" not in each:
                continue
            said = each["Action"]
            lists = said["Fn::If"][1:] if isinstance(said, Mapping) else [said]
            for found in lists:
                yield from [found] if isinstance(found, str) else found


class TestPods:
    @every_case
    def test_engines_are_reached_by_gateways_and_prometheus(self, values: dict[str, Any]) -> None:
        assert OPEN["engines"][0] == str(ports.POD_ENGINE)
        (rule,) = of_kind(values, "NetworkPolicy")["qwen-engine"]["spec"]["ingress"]
        gateway, prometheus = rule["from"]
        labels = gateway["podSelector"]["matchLabels"]
        assert labels["app.kubernetes.io/component"] == "gateway"
        assert labels["app.kubernetes.io/instance"] == "qwen"
        namespace = {"kubernetes.io/metadata.name": "monitoring"}
        assert prometheus == {"namespaceSelector": {"matchLabels": namespace}}

    def test_whoever_is_named_may_call_and_else_everyone(self) -> None:
        assert "by default everyone" in OPEN["gateways"][1]
        peers = [{"ipBlock": {"cidr": "10.0.0.0/8"}}]
        for clients, let_in in (([], None), (peers, peers)):
            values = given("local", networkPolicy={"clients": clients})
            api, metrics = of_kind(values, "NetworkPolicy")["qwen-gateway"]["spec"]["ingress"]
            assert (api["ports"], api.get("from")) == ([{"port": ports.GATEWAY}], let_in)
            assert [list(one) for one in metrics["from"]] == [["namespaceSelector"]]

    def test_nobody_comes_to_a_compile_job(self) -> None:
        assert OPEN["compile Job"][1] == "nobody"
        spec = of_kind(DRA, "NetworkPolicy")["qwen-compile"]["spec"]
        assert "Ingress" in spec["policyTypes"]
        assert "ingress" not in spec

    @every_case
    def test_out_of_each_are_names_https_and_the_agent(self, values: dict[str, Any]) -> None:
        assert OPEN["out, from each"][0] == "443, 53"
        for name, one in of_kind(values, "NetworkPolicy").items():
            assert "Egress" in one["spec"]["policyTypes"]
            allowed = [
                (sorted({port["port"] for port in rule["ports"]}), rule.get("to"))
                for rule in one["spec"]["egress"]
            ]
            everyones = [([53], None), ([443], None), ([80], [{"ipBlock": {"cidr": AGENT}}])]
            assert allowed[:3] == everyones
            engines = [([ports.POD_ENGINE], [{"podSelector": {"matchLabels": SELECTS}}])]
            assert allowed[3:] == (engines if name == "qwen-gateway" else [])

    def test_without_keys_there_is_no_chart(self) -> None:
        assert "the chart is refused without keys" in THREATS["a stranger calls the API"][0]
        with pytest.raises(helm_python.HelmError, match="keysSecret is missing"):
            manifests(merged(given("local"), {"gateway": {"keysSecret": ""}}))

    @every_case
    def test_roots_are_read_only_but_for_the_engines(self, values: dict[str, Any]) -> None:
        said = THREATS["a process in a container breaks out"][0]
        assert "but for the engines' root, which is not read-only" in said
        (gateway,) = of_kind(values, "Deployment").values()
        pod = gateway["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
        for one in of_kind(values, "StatefulSet").values():
            security = one["spec"]["template"]["spec"]["containers"][0]["securityContext"]
            assert "readOnlyRootFilesystem" not in security

    def test_a_tag_is_an_image_to_the_chart(self) -> None:
        assert "the chart takes tags" in THREATS["another image under the same tag"][1]
        assert manifests(merged(PLUGIN, {"images": {"gateway": "registry.example/gateway:1"}}))

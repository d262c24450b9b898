"""Each port is one number in deploy/ports.py, for whoever listens, lets in, scrapes or explains."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy import ports
from deploy.aws.bundle import files
from deploy.monitoring.files import FOLDER
from tests.deploy.chart import gateway_file, manifests, of_kind
from tests.deploy.dockerfile import ROOT, stages
from tests.deploy.test_bundle import HALF, runs
from tests.deploy.test_chart import DRA, every_case
from tests.deploy.test_cloudformation import Loader
from tests.deploy.test_pages import rows

TEMPLATE = ROOT / "deploy/cloudformation/specserve.yaml"


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def env(name: str) -> dict[str, str]:
    lines = files(HALF)[f"/etc/specserve/{name}"][0].splitlines()
    return {name: value.strip('"') for name, _, value in (line.partition("=") for line in lines)}


def on_the_host() -> dict[str, int]:
    """Of what listens for others, from the units and files that a host gets."""
    gateway = tomllib.loads(files(HALF)["/etc/specserve/gateway.toml"][0])
    command = dict(runs())["specserve-neuron-monitor.service"]
    for name, value in env("host.env").items():
        command = command.replace(f"${{{name}}}", value)
    exported = re.search(r"neuron-monitor-prometheus\.py --port (\d+)'", command)
    assert exported is not None
    return {
        "gateway": gateway["port"],
        "gateway's `/metrics` alone": gateway["metrics_port"],
        "neuron-monitor": int(exported[1]),
    }


def test_a_host_listens_where_its_prometheus_asks_and_its_security_group_lets_in() -> None:
    found = on_the_host()
    assert found == {
        "gateway": ports.GATEWAY,
        "gateway's `/metrics` alone": ports.GATEWAY_METRICS,
        "neuron-monitor": ports.NEURON_MONITOR,
    }
    template: dict[str, Any] = yaml.load(TEMPLATE.read_text(), Loader)  # noqa: S506 - it is safe
    group = template["Resources"]["SecurityGroup"]["Properties"]["SecurityGroupIngress"]
    let_in = {rule["Fn::If"][0]: rule["Fn::If"][1] for rule in group}
    api, metrics = let_in["OpensApi"], let_in["OpensMetrics"]
    assert (api["FromPort"], api["ToPort"]) == (ports.GATEWAY, ports.GATEWAY)
    # One rule has both: nothing else may come to lie between them.
    assert [*range(metrics["FromPort"], metrics["ToPort"] + 1)] == [
        ports.GATEWAY_METRICS,
        ports.NEURON_MONITOR,
    ]
    described = template["Parameters"]["MonitoringCidr"]["Description"]
    assert f"{ports.GATEWAY_METRICS} (gateway)" in described
    assert f"{ports.NEURON_MONITOR} (neuron-monitor)" in described
    assert f"port {ports.GATEWAY} of" in template["Parameters"]["ApiCidr"]["Description"]


def test_the_sample_of_prometheus_asks_where_a_host_listens() -> None:
    config = yaml.safe_load((FOLDER / "prometheus" / "prometheus.yml").read_text())
    asked = {
        one["job_name"]: one["static_configs"][0]["targets"][0].rpartition(":")[2]
        for one in config["scrape_configs"]
    }
    host = on_the_host()
    assert asked == {
        "specserve-gateway": str(host["gateway's `/metrics` alone"]),
        "specserve-engine": env("engine-0.env")["PORT"],
        "neuron-monitor": str(host["neuron-monitor"]),
    }


@every_case
def test_the_chart_listens_and_lets_in_on_the_same(values: dict[str, Any]) -> None:
    config = tomllib.loads(gateway_file(values))
    assert (config["port"], config["metrics_port"]) == (ports.GATEWAY, ports.GATEWAY_METRICS)
    assert {one["url"].rpartition(":")[2] for one in config["replicas"]} == {str(ports.POD_ENGINE)}
    opened = {port for one in manifests(values) for port in container_ports(one)}
    assert opened == {ports.GATEWAY, ports.GATEWAY_METRICS, ports.POD_ENGINE}
    policies = of_kind(values, "NetworkPolicy")
    assert let_in(policies["qwen-gateway"]) == {ports.GATEWAY, ports.GATEWAY_METRICS}
    assert let_in(policies["qwen-engine"]) == {ports.POD_ENGINE}


def container_ports(one: dict[str, Any]) -> Iterator[int]:
    pod = one.get("spec", {}).get("template", {}).get("spec", {"containers": []})
    for container in pod["containers"]:
        yield from (port["containerPort"] for port in container.get("ports", ()))


def let_in(policy: dict[str, Any]) -> set[int]:
    return {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]}


def test_images_name_the_ports_that_they_are_started_with() -> None:
    def exposed(target: str) -> set[str]:
        return {port for said in stages()[target].of("EXPOSE") for port in said.split()}

    assert exposed("gateway") == {str(ports.GATEWAY), str(ports.GATEWAY_METRICS)}
    for target in ("engine-nxdi", "engine-vllm-neuron"):
        assert exposed(target) == {str(ports.POD_ENGINE)}


def test_pages_name_the_same() -> None:
    named = {row[0]: row[1] for row in rows(page("security.md"), "## What is open")}
    for who, port in on_the_host().items():
        assert named[who] == str(port)
    assert named["engine"] == f"{ports.HOST_ENGINE}…"
    units = {row[0].strip("`"): row[1] for row in rows(page("ec2.md"), "## On the host")}
    assert f"on {ports.NEURON_MONITOR}" in units["specserve-neuron-monitor"]
    assert f"port {ports.GATEWAY}, metrics on {ports.GATEWAY_METRICS}" in units["specserve-gateway"]
    assert f"port {ports.NEURON_MONITOR_DAEMONSET} of each" in page("deploy.md")


@pytest.mark.parametrize("path", sorted((ROOT / "deploy/systemd").iterdir()), ids=lambda p: p.name)
def test_no_unit_has_a_port_of_its_own(path: Path) -> None:
    known = (ports.GATEWAY, ports.GATEWAY_METRICS, ports.NEURON_MONITOR, ports.HOST_ENGINE)
    assert not any(re.search(rf"\b{port}\b", path.read_text()) for port in known)


def test_the_monitors_service_scrapes_ports_that_are_open() -> None:
    monitored = of_kind(DRA, "ServiceMonitor")
    named = {one["spec"]["endpoints"][0]["port"] for one in monitored.values()}
    services = of_kind(DRA, "Service").values()
    targets = {port["name"]: port["port"] for one in services for port in one["spec"]["ports"]}
    assert named == {"metrics", "http"}
    assert targets["metrics"] == ports.GATEWAY_METRICS

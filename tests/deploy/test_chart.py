"""The chart's manifests against golden files, Kubernetes' schemas and each other.

SPECSERVE_UPDATE_GOLDEN=1 rewrites the golden files. No cluster has seen any of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import helm_python
import kubernetes_validate
import pytest

from tests.deploy.chart import CHART, EVERYTHING, given, manifests, merged, text

GOLDEN = Path(__file__).parent / "golden"
OLDEST = "1.34"
"""That the chart takes: DRA's `resource.k8s.io/v1` came with it. Newer ones: live_kubernetes.py."""
CUSTOM = {"ServiceMonitor", "PrometheusRule", "ScaledObject"}
"""Of operators: Kubernetes has no schema for them."""
PLUGIN = given("qwen3-32b-tp4", "--plain-pair", "qwen3-32b-tp4-vllm-neuron")
DRA = given(
    "qwen2.5-72b-tp32",
    **merged(EVERYTHING, {"devices": {"api": "dra"}, "gateway": {"autoscaling": {"kind": "hpa"}}}),
)
LOCAL = given("local", gateway={"autoscaling": {"kind": "keda"}})
CASES = {"local": LOCAL, "qwen2.5-72b-tp32-dra": DRA, "qwen3-32b-tp4-plugin": PLUGIN}
every_case = pytest.mark.parametrize("values", CASES.values(), ids=CASES.keys())


@pytest.mark.parametrize("name", CASES)
def test_the_manifests_are_the_golden_ones(name: str) -> None:
    golden, found = GOLDEN / f"{name}.yaml", text(CASES[name])
    if os.environ.get("SPECSERVE_UPDATE_GOLDEN"):
        golden.write_text(found)
    assert found == golden.read_text()


def test_kubernetes_takes_every_manifest() -> None:
    """Of the case with most kinds; the others, which take seconds each, in live_kubernetes.py."""
    for manifest in manifests(DRA):
        if manifest["kind"] not in CUSTOM:
            kubernetes_validate.validate(manifest, OLDEST, strict=True)


@every_case
def test_helm_has_nothing_against_the_chart(values: dict[str, Any]) -> None:
    report = helm_python.lint(str(CHART), values, strict=True, kube_version="v1.34.0")
    said = [one["error"] for one in report["messages"]]
    assert (said, report["errors"]) == (["icon is recommended"], [])


@every_case
def test_every_selector_selects_and_every_name_is_there(values: dict[str, Any]) -> None:
    found = manifests(values)
    pods = [one["spec"]["template"] for one in found if "template" in one.get("spec", {})]
    labels = [pod["metadata"]["labels"] for pod in pods]
    for one in found:
        for selector in _selectors(one):
            assert any(selector.items() <= of_pod.items() for of_pod in labels), one["metadata"]
    names = {(one["kind"], one["metadata"]["name"]) for one in found}
    for pod in pods:
        assert set(_needed(pod["spec"])) <= names
    services = [one["metadata"]["labels"] for one in found if one["kind"] == "Service"]
    for one in found:
        if one["kind"] == "ServiceMonitor":
            wanted = one["spec"]["selector"]["matchLabels"].items()
            assert any(wanted <= of_service.items() for of_service in services)


@every_case
def test_every_port_that_is_named_is_open(values: dict[str, Any]) -> None:
    found = manifests(values)
    pods = [one["spec"]["template"] for one in found if "template" in one.get("spec", {})]
    for service in (one for one in found if one["kind"] == "Service"):
        selector = service["spec"]["selector"].items()
        (pod,) = (pod for pod in pods if selector <= pod["metadata"]["labels"].items())
        (container,) = pod["spec"]["containers"]
        open_ports = {port["name"] for port in container["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= open_ports


@every_case
def test_no_container_may_gain_a_privilege(values: dict[str, Any]) -> None:
    for one in manifests(values):
        pod = one.get("spec", {}).get("template", {}).get("spec")
        if pod is None:
            continue
        assert pod["automountServiceAccountToken"] is False
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"]


def _selectors(one: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    spec = one.get("spec", {})
    if one["kind"] == "Service":
        yield spec["selector"]
    if one["kind"] in {"PodDisruptionBudget", "StatefulSet", "Deployment"}:
        yield spec["selector"]["matchLabels"]
    if one["kind"] == "NetworkPolicy":
        yield spec["podSelector"]["matchLabels"]
        rules = [*spec.get("ingress", []), *spec["egress"]]
        peers = [peer for rule in rules for peer in [*rule.get("from", []), *rule.get("to", [])]]
        yield from (peer["podSelector"]["matchLabels"] for peer in peers if "podSelector" in peer)


def _needed(pod: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "ServiceAccount", pod["serviceAccountName"]
    for claim in pod.get("resourceClaims", []):
        yield "ResourceClaimTemplate", claim["resourceClaimTemplateName"]

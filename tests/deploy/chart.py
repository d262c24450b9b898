"""deploy/helm/specserve, rendered by Helm's own library."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import helm_python
import yaml
from click.testing import CliRunner

from neuron.cli import main

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "specserve"
DIGEST = f"sha256:{'0' * 64}"
RELEASE, NAMESPACE = "qwen", "serving"
STACKS = ("gateway", "cpu", "nxdi", "vllm-neuron")
GIVEN: Mapping[str, Any] = {
    "images": {name: f"registry.example/{name}@{DIGEST}" for name in STACKS},
    "gateway": {"keysSecret": "keys"},
    "store": "s3://models/neuron",
    "region": "us-east-2",
}
EVERYTHING: Mapping[str, Any] = {
    "compile": {"enabled": True},
    "monitoring": {
        "serviceMonitor": True,
        "prometheusRule": True,
        "groups": [{"name": "one", "rules": [{"alert": "Up", "expr": "up == 0"}]}],
    },
}


class Strict(yaml.CSafeLoader):
    """Refuses a key that is said twice, of which YAML's readers keep one or the other."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"said twice: {keys}"
        return super().construct_mapping(node, deep)


@cache
def pools(pair: str, *options: str) -> str:
    """What `neuron render` prints."""
    done = CliRunner().invoke(main, ["render", pair, "--as", "helm", *options])
    assert done.exit_code == 0, done.output
    return done.stdout


def given(pair: str, *options: str, **more: object) -> dict[str, Any]:
    return merged(GIVEN, loaded(pools(pair, *options))[0], more)


def merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """As Helm merges files of values."""
    found: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            both = isinstance(value, Mapping) and isinstance(found.get(key), Mapping)
            found[key] = merged(found[key], value) if both else value
    return found


def text(values: Mapping[str, Any]) -> str:
    with helm_python.Chart.load(str(CHART)) as chart:
        chart.validate_schema(dict(values))
        found = chart.render(dict(values), name=RELEASE, namespace=NAMESPACE)
    files = (f"---\n# {path}\n{found[path]}" for path in sorted(found) if found[path].strip())
    return "\n".join(files)


def manifests(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return _manifests(json.dumps(values))


@cache
def _manifests(values: str) -> list[dict[str, Any]]:
    return loaded(text(json.loads(values)))


def loaded(documents: str) -> list[dict[str, Any]]:
    found = yaml.load_all(documents, Strict)
    return [one for one in found if one is not None]


def gateway_file(values: Mapping[str, Any]) -> str:
    """What a gateway's pod reads as gateway.toml, through its own annotation."""
    template = of_kind(values, "Deployment")[f"{RELEASE}-gateway"]["spec"]["template"]
    (volume,) = (one for one in template["spec"]["volumes"] if one["name"] == "config")
    (item,) = volume["downwardAPI"]["items"]
    assert item["path"] == "gateway.toml"
    assert item["fieldRef"]["fieldPath"] == "metadata.annotations['specserve/config']"
    told: str = template["metadata"]["annotations"]["specserve/config"]
    return told


def of_kind(values: Mapping[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """By name."""
    return {one["metadata"]["name"]: one for one in manifests(values) if one["kind"] == kind}

"""What runs in the chart's pods: commands, times, chips, and the gateway's configuration."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import helm_python
import pytest

from neuron.cli import main
from neuron.pair import load_pair
from server.config.plans import plan_all
from server.settings import Settings, load_settings
from tests.deploy.chart import GIVEN, NAMESPACE, gateway_file, given, manifests, merged, of_kind
from tests.deploy.test_chart import CASES, DRA, LOCAL, PLUGIN, every_case

STOP_S = 60
"""Of an engine, once it has drained: neuron/artefacts/engine_start.py."""


def pods(values: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for one in manifests(values):
        if "template" in one.get("spec", {}):
            yield one["spec"]["template"]["spec"]


def engines(values: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Pod specs by the name of the pool."""
    return {
        name.removeprefix("qwen-"): one["spec"]["template"]["spec"]
        for name, one in of_kind(values, "StatefulSet").items()
    }


def settings(values: dict[str, Any], folder: Path) -> Settings:
    """What the gateway makes of its file. Its keys are in a Secret that is not there."""
    file = folder / "gateway.toml"
    file.write_text(gateway_file(values))
    return load_settings({}, {}, file)


def commands(container: dict[str, Any]) -> Iterator[list[str]]:
    if "command" in container:
        yield container["command"]
    actions = [container.get(key) or {} for key in ("readinessProbe", "livenessProbe")]
    actions.append(container.get("lifecycle", {}).get("preStop", {}))
    yield from (one["exec"]["command"] for one in actions if "exec" in one)


@every_case
def test_every_command_is_one_that_our_programs_take(
    values: dict[str, Any], tmp_path: Path
) -> None:
    """Options and their values; the store is looked at as they are read, so it is a folder here."""
    said = []
    for pod in pods(values):
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            for program, *arguments in commands(container):
                assert program == "neuron"
                here = [str(tmp_path) if one == values["store"] else one for one in arguments]
                parse(main, here)
                said.append(arguments[0])
    assert {"launch", "probe", "drain"} <= set(said)


@every_case
def test_the_gateway_takes_its_file_and_knows_every_engine(
    values: dict[str, Any], tmp_path: Path
) -> None:
    found = settings(values, tmp_path)
    plans = plan_all(found.engines)
    hosts = {
        f"{name}-{ordinal}.{one['spec']['serviceName']}.{NAMESPACE}.svc"
        for name, one in of_kind(values, "StatefulSet").items()
        for ordinal in range(one["spec"]["replicas"])
    }
    assert {plan.config.url.host for plan in plans if plan.config.url} == hosts
    assert {plan.config.pool for plan in plans} == {"speculative", "plain"}


def test_what_an_engine_serves_is_what_its_pair_says(tmp_path: Path) -> None:
    plans = {
        plan.config.name: plan.capabilities for plan in plan_all(settings(PLUGIN, tmp_path).engines)
    }
    spec, plain = plans["speculative-0"], plans["plain-0"]
    assert spec is not None
    assert (spec.stack, spec.plugin) == ("nxdi", "specserve")
    assert plain is not None
    assert plain.stack == "vllm-neuron"


def test_other_keys_reach_the_gateway_with_their_types(tmp_path: Path) -> None:
    config = {"max_in_flight": 8, "queue_timeout": 0.5, "speculation": {"default": "on"}}
    values = given("local", gateway={"config": config, "streamSeconds": 90})
    found = settings(values, tmp_path)
    assert (found.max_in_flight, found.queue_timeout) == (8, 0.5)
    assert found.speculation.default == "on"
    assert (found.total_timeout, found.drain_timeout) == (90, 110)


@pytest.mark.parametrize("seconds", [30, 600, 3600])
def test_a_gateway_is_not_killed_before_its_longest_stream_ends(
    seconds: int, tmp_path: Path
) -> None:
    values = given("local", gateway={"streamSeconds": seconds})
    pod = of_kind(values, "Deployment")["qwen-gateway"]["spec"]["template"]["spec"]
    before = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    found = settings(values, tmp_path)
    assert found.drain_timeout > found.total_timeout == seconds
    assert pod["terminationGracePeriodSeconds"] > before + found.drain_timeout


@every_case
def test_an_engine_has_its_time_to_start_and_to_end(values: dict[str, Any]) -> None:
    for engine in values["engines"]:
        pod = engines(values)[engine["name"]]
        (container,) = pod["containers"]
        probe = container["startupProbe"]
        assert probe["failureThreshold"] * probe["periodSeconds"] >= engine["startSeconds"]
        command = container["lifecycle"]["preStop"]["exec"]["command"]
        limit_s = float(command[command.index("--limit-s") + 1])
        assert pod["terminationGracePeriodSeconds"] >= limit_s + STOP_S
        for name in ("readinessProbe", "livenessProbe"):
            command = container[name]["exec"]["command"]
            # The probe asks three times at most: for the model, for the token, for the counter.
            assert container[name]["timeoutSeconds"] > float(command[-1])


def test_the_plugin_gives_an_engine_the_chips_that_its_pair_needs() -> None:
    values = given("qwen2.5-72b-tp32")
    for pod in engines(values).values():
        resources = pod["containers"][0]["resources"]
        assert resources["limits"]["aws.amazon.com/neuron"] == 8
        # Half a node: which chips are neighbours, only the extension knows.
        assert pod["schedulerName"] == "my-scheduler"
        assert pod["nodeSelector"] == {"node.kubernetes.io/instance-type": "trn2.48xlarge"}
    for values in (given("qwen2.5-72b-tp64"), PLUGIN):
        assert all("schedulerName" not in pod for pod in engines(values).values())


def test_dra_claims_neighbouring_chips_instead() -> None:
    claims = of_kind(DRA, "ResourceClaimTemplate")
    for name, pod in engines(DRA).items():
        resources = pod["containers"][0]["resources"]
        assert resources["claims"] == [{"name": "chips"}]
        assert "aws.amazon.com/neuron" not in resources["limits"]
        devices = claims[f"qwen-{name}"]["spec"]["spec"]["devices"]
        assert devices["requests"][0]["exactly"]["count"] == 8
        assert devices["constraints"][0]["matchAttribute"] == "resource.aws.com/devicegroup8_id"
        assert devices["config"][0]["opaque"]["parameters"]["logicalNeuronCore"] == 2


def test_nothing_with_chips_may_surge() -> None:
    for values in CASES.values():
        deployments = of_kind(values, "Deployment").values()
        assert [one["metadata"]["name"] for one in deployments] == ["qwen-gateway"]
        (gateway,) = deployments
        assert "resourceClaims" not in gateway["spec"]["template"]["spec"]


def test_engines_pull_what_their_pair_names() -> None:
    pair = load_pair("qwen2.5-72b-tp32")
    found = {
        name: [container["command"] for container in pod["initContainers"]]
        for name, pod in engines(DRA).items()
    }
    assert [command[5] for command in found["speculative"][:2]] == [pair.target, pair.draft]
    assert [command[5] for command in found["plain"][:1]] == [pair.target]
    assert [commands[-1][1] for commands in found.values()] == ["artefacts", "artefacts"]
    assert "--plain" in found["plain"][-1]
    assert "--plain" not in found["speculative"][-1]
    assert all("initContainers" not in pod for pod in engines(LOCAL).values())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"gateway": {"keysSecret": ""}}, "gateway.keysSecret is missing"),
        ({"images": {"nxdi": ""}}, "images.nxdi is missing"),
        ({"store": ""}, "store is missing"),
        ({"monitoring": {"prometheusRule": True}}, "monitoring.groups is missing"),
        ({"gateway": {"config": {"port": 1}}}, "port"),
        ({"gatway": {}}, "gatway"),
        ({"devices": {"api": "dre"}}, "/devices/api"),
        ({"engines": []}, "engines"),
        ({"images": {"nxdi": "no-tag"}}, "images"),
        ({"gateway": {"streamSeconds": "600"}}, "streamSeconds"),
    ],
)
def test_what_cannot_be_deployed_is_refused_by_name(change: dict[str, Any], said: str) -> None:
    values = merged(given("qwen2.5-72b-tp32"), change)
    with pytest.raises(helm_python.HelmError, match=said):
        manifests(values)


def test_a_pool_without_a_device_cannot_be_one_of_neuron() -> None:
    values = given("qwen2.5-72b-tp32")
    values["engines"] = [{**values["engines"][0], "device": None}]
    with pytest.raises(helm_python.HelmError, match="device"):
        manifests(values)


def test_the_defaults_alone_are_refused() -> None:
    with pytest.raises(helm_python.HelmError, match="engines"):
        manifests(GIVEN)


def parse(command: click.Command, arguments: list[str]) -> None:
    """Raises click's errors for what the command would refuse."""
    with command.make_context(command.name, list(arguments)) as ctx:
        if isinstance(command, click.Group):
            rest = [*ctx._protected_args, *ctx.args]
            name, inner, more = command.resolve_command(ctx, rest)
            assert name is not None
            assert inner is not None
            parse(inner, more)

"""Commands on the pages of deploy: our programs take each, and one does as its unit does."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

import click
import pytest
import yaml

from deploy import ports
from deploy.aws.cli import main as ec2
from deploy.monitoring.__main__ import main as monitoring
from neuron.cli import main as neuron
from server.cli import main as server
from tests.deploy.chart import manifests
from tests.deploy.conftest import IMAGES
from tests.deploy.dockerfile import ROOT
from tests.deploy.test_bundle import runs
from tests.deploy.test_chart import PLUGIN
from tests.deploy.test_cloudformation import TEMPLATE, Loader
from tests.deploy.test_pods import parse

PAGES = ("deploy.md", "ec2.md", "watching.md", "runbook.md", "cost.md")
PROGRAMS: Mapping[str, click.Command] = {
    "neuron": neuron,
    "server": server,
    "python -m deploy.ec2": ec2,
    "python -m deploy.monitoring": monitoring,
}
SHORT = {"$new_images": shlex.join(IMAGES), "$images": shlex.join(IMAGES)}


def text(page: str) -> str:
    return (ROOT / "docs" / page).read_text(encoding="utf-8")


def blocks(page: str) -> list[str]:
    found = re.findall(r"```sh\n(.*?)```", text(page), re.DOTALL)
    return [block.replace("\\\n", " ") for block in found]


def commands() -> list[tuple[str, str]]:
    """Of blocks, without comments and redirections; none with `…`, and no --help."""
    found = []
    for page in PAGES:
        lines = [line for block in blocks(page) for line in block.splitlines()]
        parts = [part.strip() for line in lines for part in line.split("&&")]
        bare = [part.partition(" #")[0].partition(" >")[0].strip() for part in parts]
        known = [one for one in bare if one.startswith(tuple(f"{name} " for name in PROGRAMS))]
        found += [(page, one) for one in known if "…" not in one and "--help" not in one]
    return found


def test_each_page_shows_some() -> None:
    assert {page for page, _ in commands()} == {*PAGES} - {"cost.md"}


@pytest.mark.parametrize(("page", "line"), commands())
def test_every_command_of_a_page_is_one(page: str, line: str, tmp_path: Path) -> None:
    name = next(name for name in PROGRAMS if line.startswith(f"{name} "))
    rest = line.removeprefix(name).replace("s3://BUCKET/neuron", str(tmp_path))
    for short, whole in SHORT.items():
        rest = rest.replace(short, whole)
    parse(PROGRAMS[name], shlex.split(rest))


def flags(command: str) -> set[tuple[str, str]]:
    """`--option value` of docker, up to what runs in the container."""
    words = shlex.split(command)
    found = set()
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word.startswith("--"):
            found.add((word, "" if following.startswith(("-", "$")) else following))
    return found


def test_what_compiles_by_hand_has_the_devices_and_disks_of_the_engine() -> None:
    (shown,) = (block for block in blocks("ec2.md") if "docker run" in block)
    command = shown.partition("docker run")[2]
    wanted = flags(dict(runs())["specserve-engine@.service"])
    theirs = flags(command.partition("--entrypoint")[0])
    assert theirs - wanted == {("--env", "AWS_DEFAULT_REGION")}
    needed = {"--device", "--volume", "--shm-size", "--ulimit", "--env", "--network"}
    left_out = {one for one in wanted - theirs if one[0] in needed}
    assert left_out == {("--env", "NEURON_PROCESS_TAG=engine-%i")}
    assert "$DEVICES" in command
    inside = shlex.split(command.partition("$ENGINE_IMAGE")[2].replace("s3://BUCKET/neuron", "/"))
    parse(neuron, inside)


def test_the_stack_is_given_what_it_asks_for_and_nothing_else() -> None:
    lines = [line for block in blocks("ec2.md") for line in block.splitlines()]
    (shown,) = (line for line in lines if "cloudformation deploy" in line)
    given = {word.partition("=")[0] for word in shown.split() if "=" in word}
    parameters = yaml.load(TEMPLATE.read_text(), Loader)["Parameters"]  # noqa: S506 - it is safe
    needed = {name for name, one in parameters.items() if "Default" not in one}
    assert needed <= given <= parameters.keys()


@pytest.mark.parametrize("page", ["deploy.md", "runbook.md"])
def test_what_kubectl_is_asked_for_is_in_the_chart(page: str) -> None:
    found = {(one["kind"].lower(), one["metadata"]["name"]): one for one in manifests(PLUGIN)}
    asked = set(re.findall(r"\b(deployment|service|statefulset)/(qwen[\w-]*)", text(page)))
    accounts = re.findall(r"--service-account (\S+)", text(page))
    assert asked
    assert asked | {("serviceaccount", name) for name in accounts} <= found.keys()
    port = found["service", "qwen-gateway"]["spec"]["ports"][0]["port"]
    assert f"service/qwen-gateway {ports.GATEWAY}:{port}" in text(page)

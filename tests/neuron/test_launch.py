"""The rendered command against golden files. SPECSERVE_UPDATE_GOLDEN=1 rewrites them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from neuron.errors import LaunchError, PairError
from neuron.hardware import Machine
from neuron.launch import Command, Endpoint, render
from neuron.pair import Pair, load_pair
from neuron.stacks import cpu
from tests.neuron.conftest import write_model

GOLDEN = Path(__file__).parent / "golden"
PORT = Endpoint(port=8100)


@pytest.fixture
def find(tmp_path: Path) -> Callable[[str], Path]:
    for part in ("target", "draft"):
        write_model(tmp_path / part)
    return lambda ref: tmp_path / ref.removeprefix("bundled:")


def as_golden(command: Command, models: Path) -> str:
    lines = [*command.argv, *(f"{key}={value}" for key, value in sorted(command.env.items()))]
    return "\n".join(lines).replace(str(models), "/models") + "\n"


@pytest.mark.parametrize("plain", [False, True], ids=["spec", "plain"])
def test_the_command_is_the_golden_one(
    plain: bool,
    find: Callable[[str], Path],
    machine: Machine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("LD_PRELOAD", raising=False)
    command = render(load_pair("local"), PORT, plain=plain, machine=machine, find=find)
    golden = GOLDEN / f"local-{'plain' if plain else 'spec'}.txt"
    if os.environ.get("SPECSERVE_UPDATE_GOLDEN"):
        golden.write_text(as_golden(command, tmp_path))
    assert as_golden(command, tmp_path) == golden.read_text()


def argument(command: Command, flag: str) -> str:
    return command.argv[command.argv.index(flag) + 1]


def changed(**fields: object) -> Pair:
    return Pair.model_validate({**load_pair("local").model_dump(), **fields})


@pytest.mark.parametrize(
    ("flags", "dtype"),
    [({"avx2"}, "float32"), ({"avx512_bf16"}, "bfloat16"), ({"amx_bf16"}, "bfloat16")],
)
def test_auto_dtype_follows_the_cpu(
    flags: set[str], dtype: str, find: Callable[[str], Path], machine: Machine
) -> None:
    there = replace(machine, cpu_flags=frozenset(flags))
    command = render(changed(dtype="auto"), PORT, machine=there, find=find)
    assert argument(command, "--dtype") == dtype


def test_k_is_passed_as_it_is(find: Callable[[str], Path], machine: Machine) -> None:
    command = render(changed(num_draft_tokens=3), PORT, machine=machine, find=find)
    assert json.loads(argument(command, "--speculative-config"))["num_speculative_tokens"] == 3


def test_a_pair_without_a_draft_is_plain(find: Callable[[str], Path], machine: Machine) -> None:
    without = render(changed(draft=None), PORT, machine=machine, find=find)
    assert without == render(load_pair("local"), PORT, plain=True, machine=machine, find=find)


def test_a_unix_socket_replaces_the_port(
    find: Callable[[str], Path], machine: Machine, tmp_path: Path
) -> None:
    endpoint = Endpoint(uds=tmp_path / "engine.sock")
    command = render(load_pair("local"), endpoint, machine=machine, find=find)
    assert argument(command, "--uds") == str(tmp_path / "engine.sock")
    assert "--port" not in command.argv
    assert endpoint.base_url == "http://engine"


def test_an_outer_preload_is_kept_and_not_doubled(machine: Machine) -> None:
    outer = f"/opt/extra.so:{machine.preload[0]}"
    preload = cpu.environment(machine, {"LD_PRELOAD": outer})["LD_PRELOAD"].split(":")
    assert preload == [*map(str, machine.preload), "/opt/extra.so"]


def test_nothing_to_preload_leaves_the_variable_alone(machine: Machine) -> None:
    assert "LD_PRELOAD" not in cpu.environment(replace(machine, preload=()), {})


def test_a_draft_of_another_vocabulary_is_refused(
    find: Callable[[str], Path], machine: Machine, tmp_path: Path
) -> None:
    write_model(tmp_path / "other", vocab=151936)
    with pytest.raises(PairError, match=r"'draft'.*151936 is not the target's 2048"):
        render(changed(draft="other"), PORT, machine=machine, find=find)


def test_a_cache_without_a_size_is_refused(find: Callable[[str], Path], machine: Machine) -> None:
    with pytest.raises(PairError, match="'kv_cache_bytes'"):
        render(changed(kv_cache_bytes=None), PORT, machine=machine, find=find)


@pytest.mark.parametrize("stack", ["nxdi", "vllm-neuron", "legacy"])
def test_a_neuron_stack_needs_a_device(stack: str) -> None:
    with pytest.raises(LaunchError, match=r"needs a Neuron device.*the pair local"):
        render(changed(stack=stack), PORT)


@pytest.mark.parametrize(
    "fields", [{}, {"port": 1, "uds": Path("s")}, {"port": 70000}, {"uds": Path("s" * 200)}]
)
def test_an_impossible_endpoint_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(LaunchError):
        Endpoint(**fields)  # type: ignore[arg-type]

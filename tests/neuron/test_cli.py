from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from neuron.cli import main
from neuron.pair import load_pair
from tests.neuron.conftest import write_model


def run(*args: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(main, args, env=env)


@pytest.fixture
def pair_file(tmp_path: Path) -> Path:
    models = {part: str(write_model(tmp_path / part)) for part in ("target", "draft")}
    path = tmp_path / "pair.toml"
    path.write_text(load_pair("local").with_models(**models).to_toml())
    return path


def test_a_dry_run_prints_the_command_and_nothing_else(pair_file: Path) -> None:
    result = run("launch", str(pair_file), "--dry-run")
    assert result.exit_code == 0
    assert result.stdout.startswith("env ")
    assert "--port 8100" in result.stdout
    assert result.stderr == ""


def test_json_is_argv_and_env(pair_file: Path, tmp_path: Path) -> None:
    result = run("launch", str(pair_file), "--plain", "--dry-run", "--json", "--uds", "s")
    command = json.loads(result.stdout)
    assert set(command) == {"argv", "env"}
    assert str(tmp_path / "target") in command["argv"]
    assert "--speculative-config" not in command["argv"]


def test_exit_2_for_a_pair_that_cannot_work(pair_file: Path) -> None:
    pair_file.write_text(pair_file.read_text() + "tp = 4\n")
    result = run("launch", str(pair_file), "--dry-run")
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: Unknown key 'tp'")
    assert result.stderr.count("\n") == 1


def test_exit_2_for_bad_usage(pair_file: Path) -> None:
    assert run("launch", str(pair_file), "--json").exit_code == 2
    assert run("launch", "--port", "many").exit_code == 2
    assert run("launch", str(pair_file), "--dry-run", "--port", "0").exit_code == 2
    both = run("launch", str(pair_file), "--dry-run", "--port", "1", "--uds", "s")
    assert both.exit_code == 2
    assert "--port or on --uds" in both.stderr


def test_exit_3_for_weights_that_are_not_there(pair_file: Path) -> None:
    result = run("launch", str(pair_file), "--draft", "nobody/no-such-model", "--dry-run")
    assert result.exit_code == 3
    assert "`neuron launch local`" in result.stderr
    assert result.stderr.count("\n") == 1
    assert run("models", "nobody/no-such-model").exit_code == 3


def test_exit_4_for_an_engine_that_cannot_start(pair_file: Path) -> None:
    pair_file.write_text(pair_file.read_text().replace('"cpu"', '"legacy"'))
    result = run("launch", str(pair_file))
    assert result.exit_code == 4
    assert "needs a Neuron device" in result.stderr
    assert result.stderr.count("\n") == 1


def test_launch_becomes_the_engine(pair_file: Path, tmp_path: Path) -> None:
    """The process is replaced by the command, so its exit code and signals are the engine's."""
    done = subprocess.run(
        [sys.executable, "-m", "neuron.cli", "launch", str(pair_file), "--port", "8123"],
        env={**os.environ, "PYTHONPATH": str(stand_in_for_vllm(tmp_path / "site"))},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 7
    assert "--port 8123" in done.stdout
    assert done.stderr.startswith("env ")


def stand_in_for_vllm(folder: Path) -> Path:
    module = folder / "vllm" / "entrypoints" / "openai" / "api_server.py"
    module.parent.mkdir(parents=True)
    # Without these the installed package, a regular one, would be found first.
    for package in (folder / "vllm", *module.parents[:2]):
        (package / "__init__.py").touch()
    module.write_text("import sys\nprint(*sys.argv[1:])\nsys.exit(7)\n")
    return folder


def test_models_lists_every_known_name() -> None:
    listed = json.loads(run("models", "--json").stdout)
    assert {"qwen2.5-0.5b", "qwen2.5-72b", "qwen3-1.7b"} <= set(listed)
    assert run("models").stdout.count("\n") == len(listed)


def test_models_says_where_a_folder_is(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "mine")
    assert str(folder) in run("models", str(folder)).stdout


def test_help_documents_the_exit_codes() -> None:
    for args in (["--help"], ["launch", "--help"], ["models", "--help"]):
        assert "3  weights not on this machine" in run(*args).stdout

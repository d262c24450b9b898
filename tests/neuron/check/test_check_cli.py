from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from neuron.cli import main
from neuron.evidence import NOT_RUN
from neuron.pair import load_pair
from tests.neuron.check.bad_pairs import BETA


def run(*args: str) -> Result:
    return CliRunner().invoke(main, ["check", *args])


@pytest.fixture
def aws_pair(tmp_path: Path) -> str:
    text = load_pair("qwen3-32b-tp32").to_toml()
    text = text.replace('plugin = "specserve"', 'plugin = "vllm-neuron"')
    text = text.replace('sampling = "any"', 'sampling = "greedy"')
    path = tmp_path / "pair.toml"
    path.write_text(text.replace('tool_call_parser = "hermes"\n', ""))
    return str(path)


def test_a_good_pair_is_a_table_and_exit_0() -> None:
    result = run("qwen3-32b-tp32")
    assert result.exit_code == 0
    assert "0 errors, 0 warnings; nothing known against it (" in result.stdout
    assert NOT_RUN in result.stdout.replace("\n", " ")
    assert result.stderr == ""


def test_a_pair_of_the_cpu_has_no_mark() -> None:
    assert NOT_RUN not in run("local").stdout


def test_a_bad_pair_is_exit_2_with_its_sentence() -> None:
    result = run("qwen2.5-72b-tp32", "--draft", "qwen2.5-0.5b")
    assert result.exit_code == 2
    assert "vocabulary" in result.stdout
    assert "1 error, 0 warnings; it cannot work (" in result.stdout


def test_json_has_every_field(aws_pair: str) -> None:
    result = run(aws_pair, "--json", "--", "vllm", "serve", "--num-gpu-blocks-override", "100")
    assert result.exit_code == 2
    data = json.loads(result.stdout)
    assert set(data) == {"pair", "stack", "findings", "unchecked", "works", "counts", "device"}
    assert data["works"] is False
    assert data["counts"]["error"] == 1
    assert data["device"] == NOT_RUN
    first = data["findings"][0]
    assert set(first) == {"id", "severity", "field", "message", "source"}
    assert first["id"] == "blocks-override"
    assert set(first["source"]) == {"where", "tag"}


def test_a_configuration_is_checked_from_a_file(aws_pair: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text('{"override-neuron-config": {"fused_qkv": true}}')
    result = run(aws_pair, "--neuron-config", str(path), "--json")
    assert result.exit_code == 2
    assert json.loads(result.stdout)["findings"][0]["id"] == "key-dashed"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1]", "holds no JSON object"),
        ("{", "is not JSON"),
        ("\xff", "cannot be read"),
        ('{"a":' * 9999, "is nested too deeply"),
    ],
    ids=["list", "broken", "bytes", "deep"],
)
def test_what_is_no_json_object_is_one_sentence(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_bytes(text.encode("latin-1"))
    result = run("qwen3-32b-tp32", "--neuron-config", str(path))
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


def test_json_on_a_line_that_is_none_is_one_sentence() -> None:
    result = run("qwen3-32b-tp32", "--", "--speculative-config", "{method}")
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: --speculative-config is not JSON")


def test_versions_are_taken() -> None:
    result = run(BETA, "--driver", "2.25", "--runtime", "2.34", "--json")
    assert result.exit_code == 2
    assert json.loads(result.stdout)["findings"][0]["id"] == "driver-old"


def test_sentences_survive_brackets(tmp_path: Path) -> None:
    """They are text, not the table's markup."""
    result = run("qwen3-32b-tp32", "--target", "/models/[red]x[/red]")
    assert "[red]x[/red]" in result.stdout


def test_a_name_that_is_no_model_s_is_an_error_with_what_was_meant() -> None:
    result = run("qwen2.5-72b-tp32", "--target", "qwen2.5-720b", "--json")
    assert result.exit_code == 2
    first = json.loads(result.stdout)["findings"][0]
    assert first["id"] == "model-missing"
    assert first["message"].startswith(
        "Key 'target' names qwen2.5-720b: it is no known name (did you mean qwen2.5-72b"
    )
    far = run("qwen2.5-72b-tp32", "--target", "zzzz", "--json")
    assert "`neuron models` lists" in json.loads(far.stdout)["findings"][0]["message"]


def test_a_folder_without_a_config_json_is_an_error(tmp_path: Path) -> None:
    """Whatever its name promises."""
    folder = tmp_path / "Qwen3-32B"
    folder.mkdir()
    result = run("qwen3-32b-tp32", "--target", str(folder), "--json")
    assert result.exit_code == 2
    assert "has no config.json" in json.loads(result.stdout)["findings"][0]["message"]


def test_the_verdict_says_what_was_not_checked() -> None:
    result = run("qwen3-32b-tp32", "--target", "/models/mystery")
    said = " ".join(result.stdout.split())
    assert result.exit_code == 0
    assert "but what follows from the shape of the target was not checked" in said
    assert "was not checked" not in " ".join(run("qwen3-32b-tp32").stdout.split())

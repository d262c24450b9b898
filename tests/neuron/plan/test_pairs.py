"""The pair that `neuron plan --write` leaves, and where it finds its models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from neuron.check.run import check
from neuron.cli import main
from neuron.pair import PAIRS_DIR, load_pair, shipped_pairs
from tests.neuron.plan.asked import LARGE, SMALL, choice, data, plan

ROOT = Path(__file__).parents[3]


def test_the_pair_that_is_written_launches(tmp_path: Path) -> None:
    path = tmp_path / "pair.toml"
    found = plan(*LARGE, "--acceptance", "0.9", "--write", str(path))
    assert found.exit_code == 0
    pair = load_pair(path)
    best = choice(data(*LARGE, "--acceptance", "0.9"), "latency")
    assert (pair.tp_degree, pair.max_num_seqs, pair.num_draft_tokens) == (
        best["tp"],
        best["batch"],
        best["k"],
    )
    assert pair.draft == "/models/Qwen2.5-0.5B-Instruct-v152064"
    assert "modelled" in path.read_text(encoding="utf-8")
    command = CliRunner().invoke(main, ["launch", str(path), "--dry-run"])
    assert command.exit_code == 0, command.stderr
    assert "Qwen2.5-72B-Instruct" in command.stdout


def test_a_pair_that_does_not_speculate_has_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "pair.toml"
    assert plan(*SMALL, "--tp", "32", "--write", str(path)).exit_code == 0
    pair = load_pair(path)
    assert (pair.draft, pair.name) == (None, "qwen2.5-7b-tp32-plain")
    command = CliRunner().invoke(main, ["launch", str(path), "--dry-run"])
    assert command.exit_code == 0, command.stderr


@pytest.mark.parametrize(
    ("asked", "speculates"),
    [
        ((*LARGE, "--acceptance", "0.9"), True),
        (("--target", "qwen3-32b", "--draft", "qwen3-0.6b", "--acceptance", "0.9"), True),
        ((*SMALL, "--tp", "32"), False),
        (("--target", "qwen3-8b", "--draft", "qwen3-4b"), False),
    ],
)
def test_neuron_check_finds_nothing_wrong_with_what_is_written(
    tmp_path: Path, asked: tuple[str, ...], speculates: bool
) -> None:
    path = tmp_path / "pair.toml"
    assert plan(*asked, "--write", str(path)).exit_code == 0
    pair = load_pair(path)
    assert (pair.draft is not None) == speculates
    assert (pair.sampling, pair.tool_call_parser) == (
        ("any", "hermes") if speculates else ("greedy", None)
    )
    report = check(pair)
    assert not report.of("error")
    assert not report.of("warning")


CONFIG = {
    "model_type": "qwen3",
    "hidden_size": 2048,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "intermediate_size": 6144,
    "vocab_size": 151936,
    "tie_word_embeddings": True,
}
"""Qwen3 1.7B's."""


def model_in(folder: Path, **changed: object) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({**CONFIG, **changed}))
    return folder


@pytest.mark.parametrize("name", [one for one in shipped_pairs() if one.startswith("qwen2.5")])
def test_plan_shipped_pairs_and_docs_name_the_same_way_to_a_draft_that_fits(name: str) -> None:
    pair = load_pair(name)
    target = name.rpartition("-tp")[0]
    command = f"neuron align qwen2.5-0.5b --target {target} --out {pair.draft}"
    assert f"`{command}`" in plan("--target", target, "--draft", "qwen2.5-0.5b").stdout
    comment = (PAIRS_DIR / f"{name}.toml").read_text(encoding="utf-8")
    assert command in " ".join(comment.replace("\\\n#", "").split())
    page = (ROOT / "docs" / "nxdi.md").read_text(encoding="utf-8")
    assert f"--out {pair.draft}\n" in page


def test_a_draft_of_a_larger_vocabulary_is_to_be_cut() -> None:
    found = plan("--target", "qwen2.5-3b", "--draft", "qwen2.5-7b")
    assert found.exit_code == 0, found.stderr
    assert (
        "`neuron align qwen2.5-7b --target qwen2.5-3b --out "
        "/models/Qwen2.5-7B-Instruct-v151936` writes a copy cut to 151936 rows" in found.stdout
    )


def test_models_may_be_folders(tmp_path: Path) -> None:
    asked = ("--target", "qwen3-32b", "--acceptance", "0.9", "--tp", "32")
    mine = data(*asked, "--draft", str(model_in(tmp_path / "mine")))
    known = data(*asked, "--draft", "qwen3-1.7b")
    assert mine["candidates"] == known["candidates"]


def test_a_hub_id_is_written_as_the_folder_of_its_known_name(tmp_path: Path) -> None:
    asked = ("--acceptance", "0.9", "--write")
    by_id = ("--target", "Qwen/Qwen2.5-72B-Instruct", "--draft", "Qwen/Qwen2.5-0.5B-Instruct")
    other = ("--target", "unsloth/Qwen2.5-72B-Instruct", "--draft", "qwen2.5-0.5b")
    bare = ("--target", "Qwen2.5-72B-Instruct", "--draft", "Qwen2.5-0.5B-Instruct")
    for number, models in enumerate((LARGE, by_id, other, bare)):
        assert plan(*models, *asked, str(tmp_path / f"{number}.toml")).exit_code == 0
    known, mine, theirs, short = (load_pair(tmp_path / f"{number}.toml") for number in range(4))
    assert mine == short == known
    assert known.target == theirs.target == "/models/Qwen2.5-72B-Instruct"


def test_a_config_is_written_as_the_folder_it_is_in(tmp_path: Path) -> None:
    target = model_in(tmp_path / "Mine", num_hidden_layers=64, hidden_size=5120)
    draft = model_in(tmp_path / "small", vocab_size=151000)
    asked = ("--target", str(target / "config.json"), "--draft", str(draft / "config.json"))
    path = tmp_path / "pair.toml"
    assert plan(*asked, "--acceptance", "0.99", "--tp", "4", "--write", str(path)).exit_code == 0
    pair = load_pair(path)
    assert (pair.target, pair.served_model_name) == (str(target), "mine")
    assert pair.draft == f"{draft}-v151936"


def test_the_folder_worked_in_may_be_the_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(model_in(tmp_path / "Mine"))
    assert plan("--target", ".", "--draft", "qwen3-0.6b", "--write", "p.toml").exit_code == 0
    pair = load_pair(Path("p.toml"))
    assert (pair.target, pair.served_model_name) == (str(tmp_path / "Mine"), "mine")

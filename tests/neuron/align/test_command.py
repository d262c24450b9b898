"""`neuron align` as a user meets it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import save_file

from neuron.cli import main
from neuron.pair import load_pair
from tests.neuron.align.folders import (
    EMBEDDING,
    HEAD,
    tokens,
    write_draft,
    write_target,
    write_tokenizer,
    written,
)

INDEX = "model.safetensors.index.json"


def run(folder: Path, *more: str, draft: str = "draft", out: str = "out") -> Result:
    target = ("--target", str(folder / "target"))
    places = (str(folder / draft), *target, "--out", str(folder / out))
    return CliRunner().invoke(main, ["align", *places, *more])


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """A folder with a draft of 60 rows and a target of 64."""
    torch.manual_seed(0)
    write_draft(tmp_path / "draft", torch.randn(60, 6), rope_theta=1000000.0, rms_norm_eps=1e-6)
    write_target(tmp_path / "target", 64)
    return tmp_path


def assert_refused(result: Result, code: int, *parts: str) -> None:
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    for part in parts:
        assert part in result.stderr


def test_one_look_says_what_was_done(pair: Path) -> None:
    result = run(pair)
    assert result.exit_code == 0
    assert result.stderr == ""
    first, second = result.stdout.splitlines()
    assert first == f"{pair / 'out'}: 60 rows became 64"
    assert "never the likeliest" in second
    assert "at most 6.25e-02 of the probability" in second


def test_json_and_the_note_say_the_same(pair: Path) -> None:
    result = run(pair, "--json")
    said = json.loads(result.stdout)
    note = json.loads((pair / "out" / "aligned.json").read_text())
    assert note == {"made_by": "neuron align", **said}
    source = (pair / "draft" / "model.safetensors").read_bytes()
    assert said["sha256"] == {"model.safetensors": hashlib.sha256(source).hexdigest()}
    assert (said["vocab_size"], said["aligned_vocab_size"]) == (60, 64)
    assert (said["draft"], said["target"]) == (str(pair / "draft"), str(pair / "target"))


def test_all_else_is_copied_as_it_is(pair: Path) -> None:
    draft, out = pair / "draft", pair / "out"
    (draft / "LICENSE").write_bytes(b"\x00\xff any bytes\r\n")
    for name in ("pytorch_model.bin", "pytorch_model.bin.index.json", ".hidden", "aligned.json"):
        (draft / name).write_text("stale")
    (draft / "onnx").mkdir()
    assert run(pair).exit_code == 0
    ours = {"LICENSE", "aligned.json", "config.json", "model.safetensors", "tokenizer.json"}
    assert {path.name for path in out.iterdir()} == ours
    for name in ("LICENSE", "tokenizer.json"):
        assert (out / name).read_bytes() == (draft / name).read_bytes()
    before, after = (json.loads((f / "config.json").read_text()) for f in (draft, out))
    assert after == {**before, "vocab_size": 64}
    assert list(after) == list(before)
    assert out.stat().st_mode == draft.stat().st_mode


def test_a_pair_that_was_refused_is_launched(pair: Path) -> None:
    def launch(draft: Path) -> Result:
        models = {"target": str(pair / "target"), "draft": str(draft)}
        (pair / "pair.toml").write_text(load_pair("local").with_models(**models).to_toml())
        return CliRunner().invoke(main, ["launch", str(pair / "pair.toml"), "--dry-run"])

    assert_refused(launch(pair / "draft"), 2, "vocabulary of 60")
    assert run(pair).exit_code == 0
    assert launch(pair / "out").exit_code == 0


def test_weights_behind_links_become_files(pair: Path) -> None:
    """The hub's cache keeps links into a folder of blobs."""
    snapshot = pair / "snapshot"
    snapshot.mkdir()
    for path in (pair / "draft").iterdir():
        (snapshot / path.name).symlink_to(path)
    assert run(pair, draft="snapshot").exit_code == 0
    assert not any(path.is_symlink() for path in (pair / "out").iterdir())
    assert len(written(pair / "out")[EMBEDDING]) == 64


def test_an_empty_folder_is_taken_and_a_full_one_is_not(pair: Path) -> None:
    (pair / "out").mkdir()
    assert run(pair).exit_code == 0
    before = {path: path.stat().st_mtime_ns for path in (pair / "out").iterdir()}
    assert_refused(run(pair), 2, "not an empty folder", "another --out")
    assert {path: path.stat().st_mtime_ns for path in (pair / "out").iterdir()} == before


def test_a_place_that_cannot_be_written_is_one_sentence(pair: Path) -> None:
    (pair / "file").touch()
    result = run(pair, out="file/out")
    assert_refused(result, 1, "Not a directory", str(pair / "file"))


def test_cutting_says_that_nothing_was_lost(tmp_path: Path) -> None:
    head = torch.randn(64, 6)
    write_draft(tmp_path / "draft", head, eos_token_id=[11, 59], pad_token_id=None)
    write_target(tmp_path / "target", 60)
    result = run(tmp_path)
    assert result.exit_code == 0
    assert "none of them was a token" in result.stdout
    assert torch.equal(written(tmp_path / "out")[EMBEDDING], head[:60])
    assert json.loads((tmp_path / "out" / "aligned.json").read_text())["leaked_at_most"] == 0


def test_a_token_is_never_cut(tmp_path: Path) -> None:
    write_draft(tmp_path / "draft", torch.randn(64, 6), vocab=tokens(61))
    write_target(tmp_path / "target", 60)
    assert_refused(run(tmp_path), 2, "Id 60 is 't60'", "vocab_size 60")


def test_an_id_that_the_config_names_is_never_cut(tmp_path: Path) -> None:
    write_draft(tmp_path / "draft", torch.randn(64, 6), eos_token_id=[11, 62])
    write_target(tmp_path / "target", 60)
    assert_refused(run(tmp_path), 2, "'eos_token_id'", "62")


def swapped(pair: Path) -> None:
    write_tokenizer(pair / "target", {**tokens(10), "t11": 10, "t10": 11})


def moved(pair: Path) -> None:
    write_tokenizer(pair / "target", {**tokens(11), "t11": 61})


def no_tokenizer(pair: Path) -> None:
    (pair / "target" / "tokenizer.json").unlink()


def other_tokenizer(pair: Path) -> None:
    (pair / "draft" / "tokenizer.json").write_text('{"model": {"vocab": [["a", 0.5]]}}')


def empty_tokenizer(pair: Path) -> None:
    (pair / "draft" / "tokenizer.json").write_text('{"model": {"vocab": {}}, "added_tokens": []}')


def same_size(pair: Path) -> None:
    (pair / "target" / "config.json").write_text('{"vocab_size": 60}')


def only_bin(pair: Path) -> None:
    (pair / "draft" / "model.safetensors").rename(pair / "draft" / "pytorch_model.bin")


def two_sets(pair: Path) -> None:
    (pair / "draft" / INDEX).write_text("{}")


def untied_without_head(pair: Path) -> None:
    config = json.loads((pair / "draft" / "config.json").read_text())
    (pair / "draft" / "config.json").write_text(
        json.dumps({**config, "tie_word_embeddings": False})
    )


def quantised(pair: Path) -> None:
    tensors = {EMBEDDING: torch.zeros(60, 6), "lm_head.qweight": torch.zeros(3)}
    save_file(tensors, pair / "draft" / "model.safetensors")


def other_stored_head(pair: Path) -> None:
    tensors = {EMBEDDING: torch.zeros(60, 6), HEAD: torch.zeros(60, 6, dtype=torch.bfloat16)}
    save_file(tensors, pair / "draft" / "model.safetensors")


def eight_bits(pair: Path) -> None:
    tensors = {EMBEDDING: torch.zeros(60, 6, dtype=torch.int8)}
    save_file(tensors, pair / "draft" / "model.safetensors")


def other_shape(pair: Path) -> None:
    save_file({EMBEDDING: torch.zeros(59, 6)}, pair / "draft" / "model.safetensors")


@pytest.mark.parametrize(
    ("spoil", "part"),
    [
        (swapped, "Id 10 is 't10' for the draft and 't11' for the target"),
        (moved, "Token 't11' is id 11 for the draft and 61 for the target"),
        (no_tokenizer, "tokenizer.json cannot be read (No such file or directory)"),
        (other_tokenizer, "holds no vocabulary of the kind that Qwen has"),
        (empty_tokenizer, "knows no token at all"),
        (same_size, "the target's vocabulary of 60 already"),
        (only_bin, "save_pretrained"),
        (two_sets, "remove one"),
        (untied_without_head, f"no tensor {HEAD}"),
        (quantised, "lm_head.qweight"),
        (other_stored_head, "is tied, and yet its lm_head.weight is of another kind"),
        (eight_bits, "dtype I8"),
        (other_shape, "shape [59, 6]"),
    ],
)
def test_exit_2_for_a_pair_that_cannot_be_aligned(
    pair: Path, spoil: Callable[[Path], None], part: str
) -> None:
    spoil(pair)
    assert_refused(run(pair), 2, part)
    assert not (pair / "out").exists()


def test_exit_3_for_models_that_are_not_there(pair: Path) -> None:
    assert_refused(run(pair, draft="nobody"), 3, str(pair / "nobody"))


def test_help_names_the_exit_codes() -> None:
    shown = CliRunner().invoke(main, ["align", "--help"]).stdout
    assert "3  weights not on this machine" in shown

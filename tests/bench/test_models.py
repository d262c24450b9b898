"""A draft or target given alone beside the bundled other half: the way out is one that works."""

import json
from pathlib import Path

import pytest

from bench.cli import run
from bench.models import SAME_VOCABULARY
from neuron.models import KNOWN_MODELS


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "hub"
    folder.mkdir()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


def put(hub: Path, name: str, vocabulary: int) -> None:
    repo = hub / f"models--{KNOWN_MODELS[name].replace('/', '--')}"
    snapshot = repo / "snapshots" / "1"
    snapshot.mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("1")
    (snapshot / "config.json").write_text(json.dumps({"vocab_size": vocabulary}))
    (snapshot / "model.safetensors").touch()


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (
            ["--draft", "qwen2.5-0.5b"],
            "--draft qwen2.5-0.5b needs a target of its own vocabulary: add --target qwen2.5-3b, "
            "or leave --draft out for the bundled pair (qwen2.5-0.5b is not on this machine, "
            "qwen2.5-3b is not on this machine).",
        ),
        (
            ["overhead", "--target", "Qwen2.5-14B"],
            "--target Qwen2.5-14B needs a draft of its own vocabulary: add --draft qwen2.5-7b, "
            "or leave --target out",
        ),
        (
            ["--target", "qwen2.5-7b"],
            "no known draft has it, so leave --target out for the bundled pair (qwen2.5-7b is not "
            "on this machine).",
        ),
        (["--draft", "qwen3-0.6b"], "add --target qwen3-8b, or"),
    ],
)
def test_missing_weights_are_code_3(
    argv: list[str], told: str, hub: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(argv) == 3
    err = capsys.readouterr().err
    assert told in err
    assert err.count("\n") == 1


def test_weights_that_are_here_but_do_not_fit_are_code_2(
    hub: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(hub, "qwen2.5-0.5b", 151936)
    put(hub, "qwen2.5-1.5b", 151936)
    assert run(["--draft", "qwen2.5-0.5b"]) == 2
    err = capsys.readouterr().err
    assert "add --target qwen2.5-1.5b, or" in err
    assert "(qwen2.5-0.5b is on this machine, qwen2.5-1.5b is on this machine)" in err


def test_two_vocabularies_are_refused_before_an_engine_starts(
    hub: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(hub, "qwen2.5-0.5b", 151936)
    put(hub, "qwen2.5-7b", 152064)
    assert run(["--draft", "qwen2.5-0.5b", "--target", "qwen2.5-7b"]) == 2
    err = capsys.readouterr().err
    assert "whose vocabulary of 151936 is not the target's 152064" in err
    assert "starting" not in err


def test_every_known_model_has_its_vocabulary() -> None:
    assert sorted(name for names in SAME_VOCABULARY for name in names) == sorted(KNOWN_MODELS)

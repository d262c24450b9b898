from __future__ import annotations

from pathlib import Path

import pytest

from neuron.errors import ModelNotFoundError
from neuron.models import KNOWN_MODELS, locate, vocab_size
from tests.neuron.conftest import write_model


def cached_model(cache: Path, hub_id: str) -> Path:
    """The hub cache's own layout: a ref names the commit, a snapshot holds the files."""
    repo = cache / f"models--{hub_id.replace('/', '--')}"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text("abc123")
    return write_model(repo / "snapshots" / "abc123")


@pytest.mark.parametrize(
    ("name", "hub_id"),
    [
        ("qwen2.5-0.5b", "Qwen/Qwen2.5-0.5B-Instruct"),
        ("qwen2.5-72b", "Qwen/Qwen2.5-72B-Instruct"),
        ("qwen3-1.7b", "Qwen/Qwen3-1.7B"),
        ("QWEN3-1.7B", "Qwen/Qwen3-1.7B"),
        ("someone/some-model", "someone/some-model"),
    ],
)
def test_a_name_or_hub_id_is_found_in_the_cache(name: str, hub_id: str, tmp_path: Path) -> None:
    folder = cached_model(tmp_path, hub_id)
    assert locate(name, cache=lambda: tmp_path) == folder


@pytest.mark.parametrize("name", ["qwen2.5-0.5b", "Qwen/Qwen3-1.7B"])
def test_weights_that_are_not_there(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        locate(name, cache=lambda: tmp_path)
    message = str(caught.value)
    hub_id = KNOWN_MODELS.get(name, name)
    for part in (name, str(tmp_path), "--pair local", f"hf download {hub_id}"):
        assert part in message
    assert "\n" not in message
    assert caught.value.exit_code == 3


def test_a_config_without_weights_is_not_a_model(tmp_path: Path) -> None:
    (cached_model(tmp_path, "a/b") / "model.safetensors").unlink()
    with pytest.raises(ModelNotFoundError, match="not there"):
        locate("a/b", cache=lambda: tmp_path)


def test_a_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "mine")
    assert locate(str(folder)) == folder


def test_a_folder_without_a_model_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"config\.json"):
        locate(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelNotFoundError, match=r"\.safetensors"):
        locate(str(tmp_path))
    with pytest.raises(ModelNotFoundError, match="vocab_size"):
        vocab_size(tmp_path)


def test_a_misspelt_name_is_told_its_neighbour(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"did you mean .*qwen2\.5-0\.5b"):
        locate("qwen2.5-05b", cache=lambda: tmp_path)


@pytest.mark.parametrize("ref", ["bad id/with spaces", "-/-", "a/b/c"])
def test_nonsense_is_one_sentence(ref: str, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="neuron models"):
        locate(ref, cache=lambda: tmp_path)


def test_bundled_parts(tmp_path: Path) -> None:
    assert locate("bundled:draft", bundled=lambda part: tmp_path / part) == tmp_path / "draft"
    with pytest.raises(ModelNotFoundError, match="bundled:target"):
        locate("bundled:other")

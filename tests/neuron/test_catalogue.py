from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from neuron.catalogue import Geometry, catalogue
from neuron.errors import ModelNotFoundError, PairError
from neuron.models import KNOWN_MODELS

PUBLISHED_WEIGHTS = {
    "qwen2.5-0.5b": 494_032_768,
    "qwen2.5-1.5b": 1_543_714_304,
    "qwen2.5-3b": 3_085_938_688,
    "qwen2.5-7b": 7_615_616_512,
    "qwen2.5-14b": 14_770_033_664,
    "qwen2.5-32b": 32_763_876_352,
    "qwen2.5-72b": 72_706_203_648,
    "qwen3-0.6b": 596_049_920,
    "qwen3-1.7b": 1_720_574_976,
    "qwen3-4b": 4_022_468_096,
    "qwen3-8b": 8_190_735_360,
    "qwen3-14b": 14_768_307_200,
    "qwen3-32b": 32_762_123_264,
}
"""What Hugging Face counts in each model's safetensors; recalled, not fetched here."""

QWEN2_CONFIG: dict[str, Any] = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_attention_heads": 14,
    "num_hidden_layers": 24,
    "num_key_value_heads": 2,
    "tie_word_embeddings": True,
    "vocab_size": 151936,
}


def test_every_known_model_has_a_shape_and_no_other() -> None:
    assert catalogue().keys() == KNOWN_MODELS.keys()


@pytest.mark.parametrize(("name", "weights"), PUBLISHED_WEIGHTS.items())
def test_the_shape_gives_the_published_number_of_weights(name: str, weights: int) -> None:
    assert catalogue()[name].parameters() == weights


def test_the_cache_of_one_token() -> None:
    # 64 layers, 8 heads of 128, keys and values, two bytes.
    assert catalogue()["qwen3-32b"].kv_bytes_per_token(2) == 64 * 8 * 128 * 2 * 2


def test_a_config_with_other_keys_and_no_head_dim_gives_the_catalogue_s_shape(
    tmp_path: Path,
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(QWEN2_CONFIG))
    ours = catalogue()["qwen2.5-0.5b"]
    refs: tuple[Path | str | dict[str, Any], ...] = (
        tmp_path,
        tmp_path / "config.json",
        str(tmp_path),
        QWEN2_CONFIG,
    )
    for ref in refs:
        found = Geometry.of_config(ref)
        assert found.model_copy(update={"source": ours.source}) == ours
    assert Geometry.of_config(tmp_path).source == str(tmp_path / "config.json")


def test_a_null_head_dim_is_split_from_the_hidden_size() -> None:
    assert Geometry.of_config({**QWEN2_CONFIG, "head_dim": None}).head_dim == 64


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"vocab_size": None}, "'vocab_size' in config.json is missing"),
        ({"hidden_size": "896"}, "'hidden_size' in config.json is '896'"),
        ({"num_hidden_layers": 0}, "'num_hidden_layers' in config.json is 0"),
        ({"num_experts": 128}, "'num_experts' in config.json is 128"),
    ],
)
def test_a_config_that_is_no_dense_decoder_s_names_the_field(
    change: dict[str, Any], words: str
) -> None:
    with pytest.raises(PairError) as caught:
        Geometry.of_config({**QWEN2_CONFIG, **change})
    assert words in str(caught.value)


@pytest.mark.parametrize("text", [None, "{", "[]", "\ufeff"])
def test_a_file_that_holds_no_config_is_said_to(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(ModelNotFoundError, match=r"config\.json"):
        Geometry.of_config(tmp_path / "config.json")

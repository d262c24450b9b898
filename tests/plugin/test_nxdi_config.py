"""What NxDI is configured with: every key known upstream, at any depth, and the right values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from neuron.plugin.nxdi_config import SAMPLING, build, neuron_keys
from neuron.plugin.nxdi_settings import NxdiSettings, buckets
from tests.plugin.fake_nxdi import Recorded, fake_nxdi, unknown_keys, write_model

BASE: dict[str, Any] = {
    "target": "/models/target",
    "draft": "/models/draft",
    "num_draft_tokens": 5,
    "max_model_len": 4096,
    "max_prompt_len": 3072,
    "max_num_seqs": 4,
    "tp_degree": 32,
    "artefacts": "/artefacts",
}


@pytest.fixture
def built(tmp_path: Path) -> Any:  # noqa: ANN401
    folders = {part: write_model(tmp_path / part) for part in ("target", "draft")}
    return build(NxdiSettings(**{**BASE, **folders}), fake_nxdi(Recorded()))[1]


def as_keys(config: Any) -> dict[str, Any]:  # noqa: ANN401
    """The configuration as nested dicts of what each upstream class was given."""
    fused = config.fused_spec_config
    keys = dict(config.neuron_config.given)
    keys["on_device_sampling_config"] = keys["on_device_sampling_config"].given
    if fused is None:
        return {"neuron_config": keys}
    return {
        "neuron_config": keys,
        "fused_spec_config": {**vars(fused), "draft_config": as_keys(fused.draft_config)},
    }


def test_every_key_at_any_depth_is_one_that_nxdi_knows(built: Any) -> None:  # noqa: ANN401
    keys = as_keys(built)
    assert unknown_keys(keys, "InferenceConfig") == []
    # The check itself can fail, at both ends of the tree.
    keys["neuron_config"]["speculation_lenght"] = 7
    drafts = keys["fused_spec_config"]["draft_config"]["neuron_config"]
    drafts["on_device_sampling_config"]["do_sampel"] = False
    assert unknown_keys(keys, "InferenceConfig") == [
        "NeuronConfig.speculation_lenght",
        "OnDeviceSamplingConfig.do_sampel",
    ]


def test_the_values_are_those_of_the_reference() -> None:
    assert neuron_keys(NxdiSettings(**BASE)) == {
        "tp_degree": 32,
        "logical_nc_config": 2,
        "torch_dtype": "bfloat16",
        "padding_side": "right",
        "ctx_batch_size": 1,
        "batch_size": 4,
        "is_continuous_batching": True,
        "seq_len": 4096,
        "max_context_length": 3072,
        "enable_bucketing": True,
        "context_encoding_buckets": [128, 256, 512, 1024, 2048, 3072],
        "token_generation_buckets": [128, 256, 512, 1024, 2048, 4096],
        "enable_fused_speculation": True,
        "speculation_length": 6,
        "output_logits": True,
        "save_sharded_checkpoint": True,
        "skip_warmup": False,
    }
    assert SAMPLING == {"do_sample": False, "dynamic": False}
    assert not neuron_keys(NxdiSettings(**{**BASE, "max_num_seqs": 1}))["is_continuous_batching"]


def test_the_draft_is_a_copy_that_does_not_speculate(built: Any) -> None:  # noqa: ANN401
    fused = built.fused_spec_config
    draft = fused.draft_config.neuron_config
    assert (draft.enable_fused_speculation, draft.speculation_length) == (False, 0)
    assert built.neuron_config.enable_fused_speculation
    assert built.neuron_config.speculation_length == 6
    for key in ("tp_degree", "batch_size", "output_logits", "torch_dtype"):
        assert getattr(draft, key) == getattr(built.neuron_config, key)
    assert fused.draft_model_path.endswith("/draft")
    assert fused.draft_config.vocab_size == built.vocab_size


def test_nothing_that_breaks_this_path_is_set() -> None:
    """Accepted when configured, wrong or fatal later: NXDI 4bcdc54, models/model_base.py."""
    breaking = {"is_block_kv_layout", "is_prefix_caching", "token_generation_batches", "async_mode"}
    assert not breaking & set(neuron_keys(NxdiSettings(**BASE)))


@pytest.mark.parametrize(
    ("longest", "ladder"),
    [
        (100, [100]),
        (128, [128]),
        (129, [128, 129]),
        (1024, [128, 256, 512, 1024]),
        (3072, [128, 256, 512, 1024, 2048, 3072]),
    ],
)
def test_buckets_double_and_end_in_the_limit(longest: int, ladder: list[int]) -> None:
    assert buckets(longest) == ladder


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"num_draft_tokens": 16}, "num_draft_tokens = 16 is outside 1 to 15"),
        ({"max_prompt_len": 4091}, "max_prompt_len = 4091 leaves no room for a step of 6 rows"),
        ({"max_prompt_len": 6, "max_model_len": 64}, "must exceed the 6 rows"),
        ({"lnc": 3}, "lnc"),
        ({"fused_qkv": True}, "fused_qkv"),
    ],
)
def test_settings_that_cannot_work_are_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        NxdiSettings(**{**BASE, **change})

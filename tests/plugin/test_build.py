"""From names and options to a fused model, and the sentence where there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from neuron.errors import PairError
from neuron.plugin.build import Facts, build_model
from neuron.plugin.fused import FusedModel, Limits
from neuron.plugin.repairs import is_known, without_the_refusal
from neuron.plugin.torch_fused import TorchFusedModel
from tests.plugin.models import DRAFT, TARGET
from tests.plugin.toy import ToyFused

FACTS = Facts(
    target=str(TARGET),
    draft=str(DRAFT),
    num_draft_tokens=5,
    max_len=128,
    slots=2,
    dtype=torch.float32,
)


def build_toy(facts: Facts, options: Mapping[str, Any]) -> FusedModel:
    return ToyFused(options["limits"])


def test_torch_takes_its_shape_from_vllms_flags() -> None:
    model = build_model("torch", FACTS, {})
    assert isinstance(model, TorchFusedModel)
    limits = model.load()
    assert limits.num_draft_tokens == 5
    assert (limits.slots, limits.max_len, limits.max_prompt) == (2, 128, 123)


def test_another_model_is_found_by_its_path() -> None:
    limits = Limits(rows=2, slots=1, max_prompt=4, max_len=8, vocab=8)
    found = build_model("tests.plugin.test_build:build_toy", FACTS, {"limits": limits})
    assert isinstance(found, ToyFused)


@pytest.mark.parametrize("name", ["tensorrt", "no.such.module:build", "tests.plugin.toy:nothing"])
def test_an_unknown_model_is_named(name: str) -> None:
    with pytest.raises(PairError, match="is no fused model: write torch, nxdi or"):
        build_model(name, FACTS, {})


@pytest.mark.parametrize("name", ["torch", "nxdi"])
def test_a_misspelt_option_is_named(name: str) -> None:
    with pytest.raises(PairError, match=r"max_prompt_length: Extra inputs"):
        build_model(name, FACTS, {"max_prompt_length": 5})


def test_another_dtype_is_refused() -> None:
    with pytest.raises(PairError, match=r"torch\.float16 is not served"):
        build_model("torch", replace(FACTS, dtype=torch.float16), {})


def test_nxdis_options_must_agree_with_vllms_flags() -> None:
    options = {
        "target": str(TARGET),
        "draft": str(DRAFT),
        "num_draft_tokens": 4,
        "max_model_len": 128,
        "max_prompt_len": 64,
        "max_num_seqs": 2,
        "tp_degree": 4,
        "dtype": "float32",
        "artefacts": "/nowhere",
    }
    with pytest.raises(PairError, match=r"num_draft_tokens is 4 .* and 5 by vLLM's own flags"):
        build_model("nxdi", FACTS, options)
    build_model("nxdi", FACTS, {**options, "num_draft_tokens": 5})


def test_only_the_three_parameters_are_hidden_from_vllms_refusal() -> None:
    seen: list[Any] = []
    validate = without_the_refusal(lambda _, params: seen.append(params))
    kept = object()
    validate(
        None,
        SimpleNamespace(logits_processors=kept, min_tokens=3, min_p=0.1, logit_bias={1: 1.0}),
    )
    (shown,) = seen
    assert shown.logits_processors is kept
    assert (shown.min_tokens, shown.min_p, shown.logit_bias) == (0, 0.0, None)


def test_another_vllms_refusal_is_left_alone() -> None:
    def refuse(processor: object, params: object) -> None:
        raise ValueError("more than we know of")

    assert not is_known(refuse)

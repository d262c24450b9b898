"""The seam: what is said where NxDI is not, and that the fake is called as upstream is."""

from __future__ import annotations

import importlib.util
import inspect

import pytest

from neuron.errors import LaunchError
from neuron.plugin.nxdi_api import PACKAGE, UPSTREAM, Upstream, installed
from tests.plugin.fake_nxdi import (
    FakeFusedSpecConfig,
    FakeInferenceConfig,
    FakeNeuronConfig,
    FakeSamplingConfig,
    Recorded,
    application_class,
    fake_load_pretrained_config,
)

APPLICATION = application_class(Recorded())
FAKES = {
    "NeuronConfig": FakeNeuronConfig,
    "OnDeviceSamplingConfig": FakeSamplingConfig,
    "FusedSpecNeuronConfig": FakeFusedSpecConfig,
    "InferenceConfig": FakeInferenceConfig,
    "load_pretrained_config": fake_load_pretrained_config,
    "NeuronApplicationBase": APPLICATION,
    "NeuronApplicationBase.compile": APPLICATION.compile,
    "NeuronApplicationBase.load": APPLICATION.load,
    "NeuronApplicationBase.get_neuron_config_cls": APPLICATION.get_neuron_config_cls,
    "NeuronQwen2ForCausalLM.get_config_cls": APPLICATION.get_config_cls,
    "NeuronQwen3ForCausalLM.get_config_cls": APPLICATION.get_config_cls,
    "NeuronBaseForCausalLM.forward": APPLICATION.__call__,
}


# Of NeuronFusedSpecModel the source is what matters: tests/plugin/test_nxdi_upstream.py.
CALLED = [call for call in UPSTREAM if not call.name.startswith("NeuronFusedSpecModel.")]


@pytest.mark.parametrize("call", CALLED, ids=lambda call: call.name)
def test_the_fake_takes_what_we_pass_upstream_and_no_more(call: Upstream) -> None:
    taken = [each for each in inspect.signature(FAKES[call.name]).parameters if each != "self"]
    assert sorted(taken) == sorted(call.parameters)


@pytest.mark.skipif(importlib.util.find_spec(PACKAGE) is not None, reason="NxDI is installed")
def test_without_nxdi_the_sentence_names_the_image_and_the_way_out() -> None:
    with pytest.raises(LaunchError, match=r"0\.16\.0-neuronx-py312.*pair local") as caught:
        installed()
    assert "\n" not in str(caught.value)

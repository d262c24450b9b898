"""Against the real package, wherever it can be imported: in the Neuron image, or beside stubs of
the device's own packages. What runs here configures and parses; it needs no device.
"""

from __future__ import annotations

import importlib
import inspect
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from neuron.plugin.nxdi_api import PACKAGE, UPSTREAM, Upstream, installed
from neuron.plugin.nxdi_config import build
from neuron.plugin.nxdi_repairs import KNOWN, Repaired, repair
from neuron.plugin.nxdi_settings import NxdiSettings
from neuron.plugin.nxdi_source import digest_of

pytest.importorskip(
    f"{PACKAGE}.models.model_base", reason="NxDI is not installed: it needs the Neuron image"
)

# Upstream warns of what it deprecates itself.
pytestmark = pytest.mark.filterwarnings("default")

SMALL = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "hidden_act": "silu",
}


def resolved(call: Upstream) -> Any:  # noqa: ANN401
    found = importlib.import_module(f"{PACKAGE}.{call.module}")
    for part in call.name.split("."):
        found = getattr(found, part)
    return found


@pytest.mark.parametrize("call", UPSTREAM, ids=lambda call: call.name)
def test_every_call_we_make_is_there_and_takes_what_we_pass(call: Upstream) -> None:
    parameters = inspect.signature(resolved(call)).parameters
    assert set(call.parameters) <= set(parameters)


@pytest.mark.parametrize("kind", ["qwen2", "qwen3"])
def test_our_configuration_is_taken_without_a_word(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """NxDI would log keys that it does not know, and go on without them."""
    for part in ("target", "draft"):
        (tmp_path / part).mkdir()
        config = {**SMALL, "model_type": kind, "architectures": [f"{kind.title()}ForCausalLM"]}
        (tmp_path / part / "config.json").write_text(json.dumps(config), encoding="utf-8")
    settings = NxdiSettings(
        target=str(tmp_path / "target"),
        draft=str(tmp_path / "draft"),
        num_draft_tokens=5,
        max_model_len=512,
        max_prompt_len=256,
        max_num_seqs=4,
        tp_degree=2,
        artefacts=str(tmp_path / "artefacts"),
    )
    with caplog.at_level(logging.WARNING):
        _, config = build(settings, installed())
    assert "Unexpected keyword" not in caplog.text
    keys, draft = config.neuron_config, config.fused_spec_config.draft_config.neuron_config
    assert (keys.speculation_length, keys.enable_fused_speculation) == (6, True)
    assert (draft.speculation_length, draft.enable_fused_speculation) == (0, False)
    assert not keys.on_device_sampling_config.do_sample
    assert not keys.on_device_sampling_config.dynamic
    assert (keys.batch_size, keys.ctx_batch_size, keys.max_length) == (4, 1, 512)


def test_the_functions_that_we_repair_are_the_ones_that_we_read() -> None:
    fused: Any = installed().fused_model
    assert {name: digest_of(getattr(fused, name)) for name in KNOWN} == dict(KNOWN)
    copy: Any = type("NeuronFusedSpecModel", (fused,), {})
    done = repair(copy, logits=True, batch=4)
    assert done == Repaired(("mask", "candidates", "prefill order"))
    assert copy._token_gen_forward is not fused._token_gen_forward

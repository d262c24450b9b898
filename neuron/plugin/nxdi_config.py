"""Settings into NxDI's configuration objects. K becomes NxDI's k in `NxdiSettings.rows` alone.

NxDI only logs a key that it does not know, and drops one inside the sampling configuration in
silence. So the keys are held to the list read from its source (tests/plugin/test_nxdi_config.py).
"""

from __future__ import annotations

import copy
from typing import Any

from neuron.plugin.nxdi_api import ApplicationClass, Nxdi
from neuron.plugin.nxdi_settings import NxdiSettings, family_of, require_rotary_base

SAMPLING: dict[str, bool] = {"do_sample": False, "dynamic": False}
"""Static and greedy, so draft and target are an argmax. `dynamic` would run a top-256 sampler in
each of the draft's k passes, and `do_sample` fails on this path (NXDI 4bcdc54,
models/model_base.py)."""


def neuron_keys(settings: NxdiSettings) -> dict[str, Any]:
    """What NeuronConfig is built from, without the sampling configuration."""
    return {
        "tp_degree": settings.tp_degree,
        "logical_nc_config": settings.lnc,
        "torch_dtype": settings.dtype,
        "padding_side": "right",
        # One prompt at a time, every slot in a step.
        "ctx_batch_size": 1,
        "batch_size": settings.max_num_seqs,
        # Without it prefill writes row 0 of the caches whatever `seq_ids` says.
        "is_continuous_batching": settings.max_num_seqs > 1,
        "seq_len": settings.max_model_len,
        "max_context_length": settings.max_prompt_len,
        "enable_bucketing": True,
        "context_encoding_buckets": settings.context_buckets,
        "token_generation_buckets": settings.step_buckets,
        "enable_fused_speculation": True,
        "speculation_length": settings.rows,
        "output_logits": settings.logits,
        "save_sharded_checkpoint": settings.save_shards,
        "skip_warmup": False,
    }


def build(settings: NxdiSettings, nxdi: Nxdi) -> tuple[ApplicationClass, Any]:
    """The target's class and its whole configuration. Raises PairError for what NxDI cannot run.

    The steps are those of NxDI's own callers: the draft's configuration is a copy of the target's
    built one, not built anew, because some of its fields follow from speculation being on.
    """
    for folder in (settings.target, settings.draft):
        require_rotary_base(folder)
    target_class = nxdi.applications[family_of(settings.target)]
    draft_class = nxdi.applications[family_of(settings.draft)]
    sampling = nxdi.sampling_config(**SAMPLING)
    target_keys = target_class.get_neuron_config_cls()(
        **neuron_keys(settings), on_device_sampling_config=sampling
    )
    draft_keys = copy.deepcopy(target_keys)
    draft_keys.speculation_length = 0
    draft_keys.enable_fused_speculation = False
    config = target_class.get_config_cls()(
        target_keys, load_config=nxdi.load_pretrained_config(settings.target)
    )
    draft_config = draft_class.get_config_cls()(
        draft_keys, load_config=nxdi.load_pretrained_config(settings.draft)
    )
    config.fused_spec_config = nxdi.fused_config(
        target_class._model_cls,
        draft_config=draft_config,
        draft_model_path=settings.draft,
        draft_model_cls=draft_class,
    )
    return target_class, config

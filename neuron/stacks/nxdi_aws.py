"""AWS's own plugin, vllm-neuron 0.5: greedy only, and without counters when it speculates.

Source: the published 0.5.0 code (PLUG05), neuron-reference.md §1.b and §9.1.
"""

from __future__ import annotations

import json
from typing import Any

from neuron.plugin.nxdi_config import SAMPLING
from neuron.plugin.nxdi_settings import NxdiSettings

OVERRIDES = "override_neuron_config"
"""With underscores. The spelling of AWS's documentation, with dashes, is not read."""


def arguments(settings: NxdiSettings) -> list[str]:
    return [
        *("--tensor-parallel-size", str(settings.tp_degree)),
        *("--num-gpu-blocks-override", str(settings.max_num_seqs)),
        "--no-enable-prefix-caching",
        "--no-enable-chunked-prefill",
        "--no-async-scheduling",
        *("--additional-config", json.dumps(_additional(settings))),
    ]


def speculation(settings: NxdiSettings) -> list[str]:
    config = {
        "method": "draft_model",
        "model": settings.draft,
        # This plugin hands the number on as NxDI's k.
        "num_speculative_tokens": settings.rows,
    }
    return ["--speculative-config", json.dumps(config)]


def overrides(settings: NxdiSettings) -> dict[str, Any]:
    """What NxDI's configuration gets besides the plugin's own defaults."""
    return {
        "max_context_length": settings.max_prompt_len,
        "enable_bucketing": True,
        "context_encoding_buckets": settings.context_buckets,
        "token_generation_buckets": settings.step_buckets,
        "on_device_sampling_config": SAMPLING,
        "save_sharded_checkpoint": settings.save_shards,
        "skip_warmup": False,
    }


def _additional(settings: NxdiSettings) -> dict[str, Any]:
    return {"max_prompt_length": settings.max_prompt_len, OVERRIDES: overrides(settings)}

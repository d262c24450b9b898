"""AWS's own plugin, vllm-neuron 0.5: greedy only, and without counters when it speculates.

Source: the published 0.5.0 code, whn09/vllm-neuron@3afb0a9; docs/nxdi.md has it flag by flag.
"""

from __future__ import annotations

import json
from typing import Any

from neuron.evidence import AWS_PLUGIN, OURS, source
from neuron.pair import Pair
from neuron.plugin.fused import rows_for
from neuron.plugin.nxdi_config import SAMPLING
from neuron.plugin.nxdi_settings import ROWS, NxdiSettings
from neuron.stacks.capabilities import GRAMMARS, LOGPROBS, PLAIN, SAMPLED, Capabilities, lacking

OVERRIDES = "override_neuron_config"
"""With underscores. The spelling of AWS's documentation, with dashes, is not read."""


LOADER = source(AWS_PLUGIN, "worker/neuronx_distributed_model_loader.py")
PLATFORM = source(AWS_PLUGIN, "platform.py")
COMMON = (
    lacking(
        "its graph is compiled static and greedy, so what a request asks for is ignored",
        LOADER,
        *SAMPLED,
    )
    | lacking("sampling on the device drops the mask, with a log line", LOADER, *GRAMMARS)
    | lacking("sampling is on the device, and logits stay there", LOADER, *LOGPROBS)
    | lacking("NxDI raises NotImplementedError for it", PLATFORM, "chunked_prefill")
)
"""Of its sampler and of NxDI's prefill, whether there is a draft or not."""
FUSED = (
    lacking(
        "its slot list is wrong across blocks with a plain draft",
        source(AWS_PLUGIN, "worker"),
        "prefix_caching",
    )
    | lacking("it does not combine LoRA with speculation", LOADER, "lora")
    | lacking("it never announces drafts, so vLLM counts none", LOADER, "spec_metrics")
)
WITHOUT = lacking(PLAIN, source(OURS, "neuron/stacks/nxdi.py", "X"), "speculation", "spec_metrics")
"""No more than that: its prefix cache and LoRA were seen to fail beside a draft alone."""


def capabilities(pair: Pair, *, plain: bool) -> Capabilities:
    """The plain engine is compiled as greedily as the speculative one, so that the two compare."""
    return Capabilities(
        stack="nxdi",
        plugin="vllm-neuron",
        lacks=COMMON | (WITHOUT if plain else FUSED),
        max_draft_tokens=0 if plain else ROWS[-1] - 1,
        counts_target=True,
        reserved_tokens=0 if plain else rows_for(pair.num_draft_tokens),
        run="never",
    )


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

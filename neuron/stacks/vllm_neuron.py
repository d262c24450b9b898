"""vLLM Neuron (Beta) 0.24 on Trainium2: without NxDI, without a plain draft. Not run by us.

docs/stacks.md has a line with its source for every flag and variable in here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuron.evidence import BETA, SDK, source
from neuron.pair import Pair
from neuron.plugin.nxdi_settings import family_of
from neuron.stacks.capabilities import GRAMMARS, SAMPLED, Capabilities, lacking
from neuron.stacks.shared import (
    ENTRY,
    common_environment,
    refuse,
    refuse_given,
    require,
    root_of,
    tools,
)

if TYPE_CHECKING:
    from neuron.launch import Endpoint

FAMILIES = ("qwen3",)
BLOCK = 32
"""Tokens per block of its cache."""
BATCHED_TOKENS = 2048
"""One of the segment lengths it takes. 8192 ran out of device memory with 32B at TP 4 [M]."""

NO_DRAFT = lacking(
    "its model runner takes the method eagle3 only and raises ValueError for a plain draft",
    source(BETA, "vllm_neuron/vllm/worker/neuron_model_runner.py"),
    "speculation",
)
NO_SEED = lacking(
    "a request with a seed ended the 0.24 engine",
    source("foxl-ai/kiln@f5a7faf", "bench/results", "M"),
    "seed",
)
UNKNOWN = lacking(
    "its sources name temperature, top-k and top-p only",
    source(BETA, "vllm_neuron/model/neuron_config.py", "I"),
    "penalties",
    "min_p",
    "logit_bias",
    "token_limits",
)
NO_LORA = lacking(
    "it has no LoRA",
    source(SDK, "vllm-neuron/docs", "D"),
    "lora",
)
GREEDY = lacking(
    "it is started with all_greedy, which takes the likeliest token and no other",
    source(BETA, "vllm_neuron/model/neuron_config.py"),
    *SAMPLED,
    *GRAMMARS,
)


def capabilities(pair: Pair, *, plain: bool) -> Capabilities:
    """The same with and without `plain`: a draft is refused either way."""
    lacks = NO_DRAFT | UNKNOWN | NO_SEED | NO_LORA
    lacks |= lacking(
        "it counts what eagle3 drafts, and there is no eagle3 here",
        source(BETA, "vllm_neuron/vllm/worker/neuron_model_runner.py"),
        "spec_metrics",
    )
    if pair.sampling == "greedy":
        lacks |= GREEDY
    return Capabilities(stack="vllm-neuron", lacks=lacks, max_draft_tokens=0, run="by others")


def recognise(packages: Mapping[str, str]) -> bool:
    return "libtorch-neuronx-lite" in packages


def arguments(pair: Pair, endpoint: Endpoint, target: Path, draft: Path | None) -> list[str]:
    """Raises PairError for what the stack cannot run, in one sentence."""
    check(pair, target, draft)
    blocks = math.ceil(pair.max_model_len / BLOCK) * pair.max_num_seqs
    return [
        *ENTRY,
        *("--model", str(target), "--served-model-name", pair.served_model_name),
        *endpoint.flags,
        *("--dtype", "bfloat16"),
        *("--max-model-len", str(pair.max_model_len)),
        *("--max-num-seqs", str(pair.max_num_seqs)),
        *("--tensor-parallel-size", str(pair.tp_degree)),
        *("--max-num-batched-tokens", str(BATCHED_TOKENS)),
        *("--num-gpu-blocks-override", str(blocks)),
        "--enable-prefix-caching" if pair.prefix_caching else "--no-enable-prefix-caching",
        *tools(pair),
        *("--additional-config", json.dumps({"neuron_config": _neuron_config(pair)})),
    ]


def environment(pair: Pair, target: Path, draft: Path | None) -> dict[str, str]:
    return {
        **common_environment(pair),
        # One root for all: its cache's own key has the graph, the versions and the flags in it.
        "VLLM_CACHE_ROOT": str(root_of(pair) / "vllm"),
        "VLLM_NEURON_COMPILATION_TIMEOUT": "1200",
        "VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS": "1200",
    }


def check(pair: Pair, target: Path, draft: Path | None) -> None:
    if draft is not None:
        refuse(
            pair,
            "draft",
            "vLLM Neuron (Beta) takes no plain draft; remove it or use --plain, or set stack to "
            '"nxdi"',
        )
    require(pair, "tp_degree", "artefacts")
    refuse_given(pair, "kv_cache_bytes", "the cache is max_num_seqs × max_model_len")
    refuse_given(pair, "max_prompt_len", "a prompt may fill max_model_len")
    refuse_given(pair, "plugin", "it chooses who runs the nxdi stack")
    if pair.dtype == "float32":
        refuse(pair, "dtype", 'AWS\'s recipe for Qwen3 is bfloat16 alone; set it to "bfloat16"')
    if (target / "config.json").is_file() and family_of(str(target)) not in FAMILIES:
        refuse(
            pair,
            "target",
            "vLLM Neuron (Beta) has no Qwen2 or Qwen2.5; choose a Qwen3, or set stack to "
            '"nxdi" or "legacy"',
        )


def _neuron_config(pair: Pair) -> dict[str, Any]:
    if pair.sampling == "greedy":
        return {"on_device_sampling_config": {"all_greedy": True}}
    # Off unless asked for, and requests with a schema are then refused.
    return {"enable_structured_outputs": True}

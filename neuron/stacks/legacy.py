"""AWS's V0 fork of vLLM 0.9.1 over NxDI 0.6: what its published benchmark ran. Not run by us.

docs/stacks.md has a line with its source for every flag and variable in here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuron.evidence import FORK, OURS, source
from neuron.pair import Pair
from neuron.plugin.fused import rows_for
from neuron.plugin.nxdi_settings import ROWS, family_of, require_rotary_base
from neuron.stacks.capabilities import GRAMMARS, LOGPROBS, PLAIN, SAMPLED, Capabilities, lacking
from neuron.stacks.shared import (
    ENTRY,
    common_environment,
    digest,
    refuse,
    refuse_given,
    require,
    root_of,
)

if TYPE_CHECKING:
    from neuron.launch import Endpoint

LOADER = source(FORK, "vllm/model_executor/model_loader/neuronx_distributed.py")
SAMPLING: Mapping[str, object] = {"do_sample": False, "top_k": 1}
"""What the fork gives a speculative graph; given to the plain one too, so that the two compare."""

GREEDY = lacking(
    "it samples on the device, greedily, whatever a request asks for",
    LOADER,
    *SAMPLED,
    *GRAMMARS,
    *LOGPROBS,
)
COMMON = GREEDY | lacking("NxDI prefills a prompt whole", LOADER, "chunked_prefill")
FUSED = (
    lacking("its fused graph has no prefix cache", LOADER, "prefix_caching")
    | lacking("the fork rejects LoRA with speculation", LOADER, "lora")
    | lacking("its V0 engine is never told what was drafted", LOADER, "spec_metrics")
)
WITHOUT = lacking(
    PLAIN, source(OURS, "neuron/stacks/legacy.py", "X"), "speculation", "spec_metrics"
)
"""No more than that: prefix caching and LoRA were seen to be refused beside a draft alone."""


def capabilities(pair: Pair, *, plain: bool) -> Capabilities:
    return Capabilities(
        stack="legacy",
        lacks=COMMON | (WITHOUT if plain else FUSED),
        max_draft_tokens=0 if plain else ROWS[-1] - 1,
        counts_target=True,
        # Nothing clips a step there, so a request must end a whole step early.
        reserved_tokens=0 if plain else rows_for(pair.num_draft_tokens),
        run="by others",
    )


def recognise(packages: Mapping[str, str]) -> bool:
    old = packages.get("vllm", "").startswith(("0.7.", "0.9."))
    return "neuronx-distributed-inference" in packages and old


def arguments(pair: Pair, endpoint: Endpoint, target: Path, draft: Path | None) -> list[str]:
    """Raises PairError for what the stack cannot run, in one sentence."""
    check(pair, target, draft)
    overrides = {"on_device_sampling_config": dict(SAMPLING), "save_sharded_checkpoint": True}
    return [
        *ENTRY,
        *("--model", str(target), "--served-model-name", pair.served_model_name),
        *endpoint.flags,
        *("--device", "neuron"),
        *("--dtype", "bfloat16"),
        *("--max-model-len", str(pair.max_model_len)),
        *("--max-num-seqs", str(pair.max_num_seqs)),
        *("--tensor-parallel-size", str(pair.tp_degree)),
        *("--override-neuron-config", json.dumps(overrides)),
        *(["--speculative-config", json.dumps(_speculation(pair, draft))] if draft else []),
    ]


def environment(pair: Pair, target: Path, draft: Path | None) -> dict[str, str]:
    root = root_of(pair)
    kind = "legacy" if draft else "legacy-plain"
    name = f"{pair.name}-{kind}-{digest(_compiled_for(pair, target, draft))}"
    return {
        **common_environment(pair),
        "VLLM_USE_V1": "0",
        "VLLM_NEURON_FRAMEWORK": "neuronx-distributed-inference",
        "BASE_COMPILE_WORK_DIR": str(root / "work" / name),
        "NEURON_COMPILE_CACHE_URL": str(root / "cache"),
        "NEURON_COMPILED_ARTIFACTS": str(root / "artefacts" / name),
    }


def check(pair: Pair, target: Path, draft: Path | None) -> None:
    require(pair, "tp_degree", "artefacts")
    if pair.sampling != "greedy":
        refuse(pair, "sampling", 'this stack takes the likeliest token only; set it to "greedy"')
    if pair.prefix_caching:
        why = (
            "the plain engine is started without a prefix cache, as the one it is compared with"
            if draft is None
            else "the fused step has no prefix cache"
        )
        refuse(pair, "prefix_caching", f"{why}; set it to false")
    refuse_given(pair, "tool_call_parser", "it drops grammars, so tool calls come unconstrained")
    refuse_given(pair, "kv_cache_bytes", "the cache is max_num_seqs × max_model_len")
    refuse_given(pair, "max_prompt_len", "it compiles for prompts of max_model_len")
    refuse_given(pair, "plugin", "it chooses who runs the nxdi stack")
    if pair.dtype == "float32":
        refuse(pair, "dtype", 'only bfloat16 has been published on it; set it to "bfloat16"')
    if draft is not None and rows_for(pair.num_draft_tokens) not in ROWS:
        refuse(pair, "num_draft_tokens", f"it must be from 1 to {ROWS[-1] - 1}; lower it")
    for folder in (target, draft):
        if folder is not None and (folder / "config.json").is_file():
            family_of(str(folder))
            require_rotary_base(str(folder))


def _speculation(pair: Pair, draft: Path) -> dict[str, Any]:
    return {
        # The word of AWS's manifest; without EAGLE weights the fork fuses a plain draft for it.
        "method": "eagle",
        "model": str(draft),
        "num_speculative_tokens": rows_for(pair.num_draft_tokens),
        "max_model_len": pair.max_model_len,
    }


def _compiled_for(pair: Pair, target: Path, draft: Path | None) -> dict[str, object]:
    drafted = {"draft": str(draft), "rows": rows_for(pair.num_draft_tokens)} if draft else {}
    return {
        "target": str(target),
        "max_model_len": pair.max_model_len,
        "max_num_seqs": pair.max_num_seqs,
        "tp_degree": pair.tp_degree,
        "lnc": pair.lnc or 2,
        **drafted,
    }

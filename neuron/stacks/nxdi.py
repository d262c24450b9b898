"""NxDI on Trainium2 under vLLM 0.16, by our plugin or by AWS's. It has not run on a device.

docs/nxdi.md has a line with its source for every flag and variable in here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from neuron.errors import PairError
from neuron.evidence import NXDI, OURS, Source, source
from neuron.pair import Pair
from neuron.plugin.nxdi_settings import ROWS, NxdiSettings
from neuron.stacks import nxdi_aws
from neuron.stacks.capabilities import (
    GRAMMARS,
    LOGPROBS,
    SAMPLED,
    Capabilities,
    Feature,
    Lack,
    lacking,
)
from neuron.stacks.nxdi_checks import check_keys, check_models
from neuron.stacks.shared import ENTRY, digest, tools

if TYPE_CHECKING:
    from neuron.launch import Endpoint

PLUGIN_NAMES = {"specserve": "specserve_fused", "vllm-neuron": "neuron"}
"""Entry points in the group `vllm.platform_plugins`; vLLM starts with one of them only."""

COLLECTIVES_PORT = 62182
"""The runtime's own rendezvous port, which two engines on one host cannot share."""

TERMS: Source = source(OURS, "neuron/plugin/terms.py", "X")
REFUSALS: Source = source(OURS, "neuron/plugin/refusals.py", "X")
FUSED: dict[Feature, Lack] = (
    lacking(
        "NxDI's fused step has no prefix cache",
        source(NXDI, "models/model_base.py"),
        "prefix_caching",
    )
    | lacking("a prompt is prefilled whole", TERMS, "chunked_prefill")
    | lacking("a fused engine serves no adapters", TERMS, "lora")
    | lacking(
        "the fused prefill gives the logits of the prompt's last token only",
        REFUSALS,
        "prompt_logprobs",
    )
    | lacking(
        "behind the end of the answer the grammar allows nothing, and vLLM rejects what comes",
        REFUSALS,
        "grammar_past_eos",
    )
)
GREEDY = lacking(
    "it is compiled without logits, for the likeliest token and no other",
    REFUSALS,
    *SAMPLED,
    *GRAMMARS,
    *LOGPROBS,
)


def capabilities(pair: Pair, *, plain: bool) -> Capabilities:
    """`plain` is AWS's plugin's in any case: a fused graph has no step without a draft."""
    if plain or pair.plugin == "vllm-neuron":
        return nxdi_aws.capabilities(pair, plain=plain)
    return Capabilities(
        stack="nxdi",
        plugin=pair.plugin,
        lacks=FUSED | (GREEDY if pair.sampling == "greedy" else {}),
        max_draft_tokens=ROWS[-1] - 1,
        reserved_tokens=pair.num_draft_tokens,
        run="never",
    )


def recognise(packages: Mapping[str, str]) -> bool:
    old = packages.get("vllm", "").startswith(("0.7.", "0.9."))
    return "neuronx-distributed-inference" in packages and not old


def arguments(pair: Pair, endpoint: Endpoint, target: Path, draft: Path | None) -> list[str]:
    """`draft` None: the same target without speculation, which only AWS's plugin runs."""
    settings = settings_of(pair, target, draft)
    check_models(pair, target, draft)
    common = [
        *ENTRY,
        *("--model", settings.target, "--served-model-name", pair.served_model_name),
        *endpoint.flags,
        *("--dtype", settings.dtype),
        *("--max-model-len", str(settings.max_model_len)),
        *("--max-num-seqs", str(settings.max_num_seqs)),
    ]
    if draft is None:
        return [*common, *nxdi_aws.arguments(settings)]
    if pair.plugin == "vllm-neuron":
        return [*common, *nxdi_aws.arguments(settings), *nxdi_aws.speculation(settings)]
    speculation = {
        "method": "draft_model",
        "model": settings.draft,
        "num_speculative_tokens": settings.num_draft_tokens,
    }
    return [
        *common,
        *tools(pair),
        *("--speculative-config", json.dumps(speculation)),
        *("--additional-config", json.dumps({"specserve": settings.model_dump()})),
    ]


def environment(
    pair: Pair, target: Path, draft: Path | None, outer: Mapping[str, str] = os.environ
) -> dict[str, str]:
    settings = settings_of(pair, target, draft)
    artefacts = Path(settings.artefacts)
    root = artefacts.parent.parent
    aws = draft is None or pair.plugin == "vllm-neuron"
    env = {
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_PLUGINS": PLUGIN_NAMES["vllm-neuron" if aws else "specserve"],
        "NEURON_LOGICAL_NC_CONFIG": str(settings.lnc),
        "NEURON_RT_EXEC_TIMEOUT": "600",
        "NEURON_PROCESS_TAG": pair.name,
        "BASE_COMPILE_WORK_DIR": str(root / "work" / artefacts.name),
        "NEURON_COMPILE_CACHE_URL": str(root / "cache"),
    }
    if aws:
        env["NEURON_COMPILED_ARTIFACTS"] = settings.artefacts
    else:
        env["SPECSERVE_PLUGIN"] = "nxdi"
        env |= _own_rendezvous(outer)
    return env


def settings_of(pair: Pair, target: Path, draft: Path | None) -> NxdiSettings:
    """Raises PairError for what the stack cannot run, in one sentence."""
    check_keys(pair, plain=draft is None)
    folders = {"target": str(target), "draft": str(draft or target)}
    chosen = {
        **folders,
        "num_draft_tokens": pair.num_draft_tokens,
        "max_model_len": pair.max_model_len,
        "max_prompt_len": pair.max_prompt_len,
        "max_num_seqs": pair.max_num_seqs,
        "tp_degree": pair.tp_degree,
        "lnc": pair.lnc or 2,
        "dtype": "bfloat16" if pair.dtype == "auto" else pair.dtype,
        "logits": pair.sampling == "any" and pair.plugin == "specserve",
    }
    root = Path(str(pair.artefacts)).expanduser()
    name = f"{pair.name}-{'plain' if draft is None else pair.plugin}-{_digest(chosen, draft)}"
    try:
        return NxdiSettings.model_validate({**chosen, "artefacts": str(root / "artefacts" / name)})
    except ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise PairError(f"Pair {pair.name!r}: {message}.") from error


def _digest(chosen: Mapping[str, object], draft: Path | None) -> str:
    """One folder per thing compiled: NxDI would load another's as it is."""
    if draft is None:
        chosen = {key: chosen[key] for key in chosen if key not in ("draft", "num_draft_tokens")}
    return digest(chosen)


def _own_rendezvous(outer: Mapping[str, str]) -> dict[str, str]:
    """Where an engine is given some of a host's cores, its port follows from the first."""
    visible = outer.get("NEURON_RT_VISIBLE_CORES", "")
    first = visible.replace(",", "-").partition("-")[0]
    if not first.isdigit() or "NEURON_RT_ROOT_COMM_ID" in outer:
        return {}
    return {"NEURON_RT_ROOT_COMM_ID": f"localhost:{COLLECTIVES_PORT + int(first)}"}

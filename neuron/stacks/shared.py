"""What the Neuron stacks say in the same way."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from neuron.errors import PairError
from neuron.pair import Pair

ENTRY = ("-m", "vllm.entrypoints.openai.api_server")


def refuse(pair: Pair, key: str, why: str) -> NoReturn:
    raise PairError(f"Key {key!r} in pair {pair.name!r}: {why}.")


def refuse_given(pair: Pair, key: str, why: str) -> None:
    """Raises PairError where a key that means nothing on a stack was set."""
    if getattr(pair, key) not in (None, type(pair).model_fields[key].default):
        refuse(pair, key, f"{why}; remove it")


def require(pair: Pair, *keys: str) -> None:
    for key in keys:
        if getattr(pair, key) is None:
            refuse(pair, key, f"it is missing, and the {pair.stack} stack compiles for it; set it")


def tools(pair: Pair) -> list[str]:
    if pair.tool_call_parser is None:
        return []
    return ["--enable-auto-tool-choice", "--tool-call-parser", pair.tool_call_parser]


def common_environment(pair: Pair) -> dict[str, str]:
    return {
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "NEURON_LOGICAL_NC_CONFIG": str(pair.lnc or 2),
        "NEURON_RT_EXEC_TIMEOUT": "600",
        "NEURON_PROCESS_TAG": pair.name,
    }


def digest(chosen: Mapping[str, object]) -> str:
    """Of everything compiled for: another artefact gets another folder."""
    return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()[:12]


def root_of(pair: Pair) -> Path:
    return Path(str(pair.artefacts)).expanduser()

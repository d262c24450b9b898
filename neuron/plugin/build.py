"""From the name of a fused model and what vLLM was started with to the model itself."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from neuron.errors import PairError
from neuron.plugin.fused import FusedModel, rows_for

DTYPES = (torch.float32, torch.bfloat16)


@dataclass(frozen=True)
class Facts:
    """What vLLM's own flags say."""

    target: str
    draft: str
    num_draft_tokens: int
    max_len: int
    """`--max-model-len` as given: the positions to compile for."""
    slots: int
    dtype: torch.dtype


class Build(Protocol):
    def __call__(self, facts: Facts, options: Mapping[str, Any]) -> FusedModel:
        """`options` is the object under "specserve" in vLLM's `--additional-config`."""
        ...


class TorchOptions(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    max_prompt_len: Annotated[int, Field(gt=0)] | None = None
    """None: whatever fits the sequence."""
    logits: bool = True
    shared_draft_mask: bool = False


def build_torch(facts: Facts, options: Mapping[str, Any]) -> FusedModel:
    from neuron.plugin.torch_fused import TorchFusedModel

    chosen = TorchOptions.model_validate(options)
    return TorchFusedModel(
        Path(facts.target),
        Path(facts.draft),
        rows=rows_for(facts.num_draft_tokens),
        slots=facts.slots,
        max_prompt=chosen.max_prompt_len or facts.max_len - facts.num_draft_tokens,
        max_len=facts.max_len,
        dtype=facts.dtype,
        logits=chosen.logits,
        shared_draft_mask=chosen.shared_draft_mask,
    )


def build_nxdi(facts: Facts, options: Mapping[str, Any]) -> FusedModel:
    from neuron.plugin.nxdi import NxdiFusedModel
    from neuron.plugin.nxdi_settings import NxdiSettings

    settings = NxdiSettings.model_validate(options)
    flags = {
        "target": facts.target,
        "draft": facts.draft,
        "num_draft_tokens": facts.num_draft_tokens,
        "max_model_len": facts.max_len,
        "max_num_seqs": facts.slots,
        "dtype": str(facts.dtype).removeprefix("torch."),
    }
    for key, flag in flags.items():
        if getattr(settings, key) != flag:
            raise PairError(
                f'{key} is {getattr(settings, key)!r} in --additional-config\'s "specserve" and '
                f"{flag!r} by vLLM's own flags: say the same in both."
            )
    return NxdiFusedModel(settings)


NAMED: Mapping[str, Build] = {"torch": build_torch, "nxdi": build_nxdi}


def build_model(name: str, facts: Facts, options: Mapping[str, Any]) -> FusedModel:
    """`name` as neuron.plugin.activation describes it. Raises PairError."""
    if facts.dtype not in DTYPES:
        raise PairError(f"dtype {facts.dtype} is not served: give float32 or bfloat16.")
    try:
        return _builder(name)(facts, options)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise PairError(f'--additional-config\'s "specserve" is wrong: {faults}.') from error


def _builder(name: str) -> Build:
    if name in NAMED:
        return NAMED[name]
    module, _, function = name.partition(":")
    try:
        found: Build = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise PairError(
            f"{name!r} is no fused model: write {', '.join(NAMED)} or package.module:function."
        ) from error
    return found

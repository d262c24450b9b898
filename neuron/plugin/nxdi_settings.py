"""What a fused NxDI model is compiled for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from neuron.errors import PairError
from neuron.plugin.fused import rows_for

SMALLEST_BUCKET = 128
"""The first bucket of NxDI's own ladder: NXDI 4bcdc54, modules/autobucketing.py:190."""
ROWS = range(2, 17)
"""k: one row drafts nothing; beyond 16 no draft pays by the model of docs/plan.md."""

Positive = Annotated[int, Field(gt=0)]
Family = Literal["qwen2", "qwen3"]


class NxdiSettings(BaseModel):
    """The wire form too: one JSON object under "specserve" in vLLM's `--additional-config`."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    target: str
    """A folder. A hub id of a model with tied embeddings would fail to load."""
    draft: str
    num_draft_tokens: Positive
    """K; the graph verifies K + 1 rows."""
    max_model_len: Positive
    max_prompt_len: Positive
    max_num_seqs: Positive
    """Slots; also the batch of the compiled step, which unused slots cost time in."""
    tp_degree: Positive
    lnc: Literal[1, 2] = 2
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    logits: bool = True
    """False: greedy only, no sampling, logprobs or grammar, and no k × vocab floats per step."""
    artefacts: str
    """Folder of the compiled graphs; made when it is not there."""
    save_shards: bool = True
    """Weights are written to `artefacts` sharded by rank: disk for a shorter start."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.rows not in ROWS:
            raise ValueError(
                f"num_draft_tokens = {self.num_draft_tokens} is outside {ROWS[0] - 1} to "
                f"{ROWS[-1] - 1}; choose one inside"
            )
        if self.max_prompt_len + self.rows > self.max_model_len:
            raise ValueError(
                f"max_prompt_len = {self.max_prompt_len} leaves no room for a step of "
                f"{self.rows} rows in max_model_len = {self.max_model_len}; lower the one or "
                "raise the other"
            )
        # A context graph of exactly k columns would be taken for a step.
        if self.context_buckets[0] <= self.rows:
            raise ValueError(
                f"max_prompt_len = {self.max_prompt_len} must exceed the {self.rows} rows of a "
                "step; raise it"
            )
        return self

    @property
    def rows(self) -> int:
        """k, NxDI's `speculation_length`."""
        return rows_for(self.num_draft_tokens)

    @property
    def context_buckets(self) -> list[int]:
        return buckets(self.max_prompt_len)

    @property
    def step_buckets(self) -> list[int]:
        return buckets(self.max_model_len)


def buckets(longest: int) -> list[int]:
    """Ascending, doubling from 128, ending in `longest`; each is one graph to compile."""
    ladder = []
    length = SMALLEST_BUCKET
    while length < longest:
        ladder.append(length)
        length *= 2
    return [*ladder, longest]


def family_of(folder: str) -> Family:
    """`model_type` of a model folder. Raises PairError for one that we have no NxDI class for."""
    kind = _config(folder).get("model_type")
    if kind == "qwen2":
        return "qwen2"
    if kind == "qwen3":
        return "qwen3"
    if kind is None:
        raise PairError(f"{folder}/config.json gives no model_type: name a model folder.")
    raise PairError(
        f"{folder} holds a model of type {kind!r}, and the NxDI plugin runs qwen2 and qwen3: "
        "choose a dense Qwen2, Qwen2.5 or Qwen3."
    )


def require_rotary_base(folder: str) -> None:
    """Raises PairError where NxDI would run with another rotary base than the model's, silently.

    It loads config.json with transformers 4, which reads past `rope_parameters` (seen with 4.57
    and NxDI's real code: other tokens in a third of the steps).
    """
    config = _config(folder)
    rope = config.get("rope_parameters") or {}
    if "rope_theta" in rope and "rope_theta" not in config:
        raise PairError(
            f"{folder}/config.json has its rope_theta inside rope_parameters, as transformers 5 "
            "writes it, and NxDI would run with transformers' default instead: add "
            f'"rope_theta": {rope["rope_theta"]} at the top of the file.'
        )


def _config(folder: str) -> dict[str, Any]:
    path = Path(folder) / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PairError(f"{path} cannot be read, so {folder} is no model folder.") from error
    if not isinstance(config, dict):
        raise PairError(f"{path} is no JSON object, so {folder} is no model folder.")
    return config

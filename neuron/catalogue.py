"""The shapes of the Qwen models we name, and of any model that has a `config.json`."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from neuron.errors import ModelNotFoundError, PairError

CATALOGUE = Path(__file__).parent / "catalogue.toml"

PADDED = re.compile(r"-v(?P<rows>\d+)$")
"""The ending of a copy whose embedding has that many rows: docs/align.md."""

Count = Annotated[int, Field(gt=0)]


class Geometry(BaseModel):
    """The sizes of one dense decoder, with the fields of Hugging Face's `config.json`."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    model_type: str
    hidden_size: Count
    num_hidden_layers: Count
    num_attention_heads: Count
    num_key_value_heads: Count
    head_dim: Count
    intermediate_size: Count
    vocab_size: Count
    """With the padding rows: what the embedding has, not what the tokenizer knows."""
    tie_word_embeddings: bool
    source: str
    """Where the numbers come from; of a file, its path."""

    @classmethod
    def of_config(cls, config: str | Path | Mapping[str, Any]) -> Self:
        """From a `config.json`, the folder that holds one, or what one holds.

        Raises ModelNotFoundError for a file that cannot be read, and PairError for one that is not
        a dense decoder's, in a sentence that names the field.
        """
        if isinstance(config, Mapping):
            return cls._of(config, source="config.json")
        path = Path(config).expanduser()
        path = path / "config.json" if path.is_dir() else path
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ModelNotFoundError(
                f"{path} cannot be read: {error.strerror}; give a model folder or its config.json."
            ) from error
        except ValueError as error:
            raise ModelNotFoundError(f"{path} is not JSON: {error}.") from error
        if not isinstance(raw, Mapping):
            raise ModelNotFoundError(f"{path} is no model's config: it holds no JSON object.")
        return cls._of(raw, source=str(path))

    @classmethod
    def _of(cls, raw: Mapping[str, Any], *, source: str) -> Self:
        if raw.get("num_experts"):
            raise PairError(
                f"Field 'num_experts' in {source} is {raw['num_experts']}: only dense models are "
                "known here; choose a dense one."
            )
        fields = {key: raw[key] for key in cls.model_fields if key in raw and key != "source"}
        fields.setdefault("tie_word_embeddings", False)
        fields.setdefault("num_key_value_heads", raw.get("num_attention_heads"))
        if fields.get("head_dim") is None:
            fields["head_dim"] = _head_dim(raw)
        try:
            return cls.model_validate({**fields, "source": source})
        except ValidationError as error:
            fault = error.errors()[0]
            key = str(fault["loc"][0])
            what = "is missing" if raw.get(key) is None else f"is {raw[key]!r}: {fault['msg']}"
            raise PairError(
                f"Field {key!r} in {source} {what}; give the config.json of a dense decoder."
            ) from error

    def parameters(self) -> int:
        """All weights, a tied embedding once; biases and norms as Qwen2 and Qwen3 have them."""
        h, hd = self.hidden_size, self.head_dim
        q, kv = self.num_attention_heads * hd, self.num_key_value_heads * hd
        layer = h * (2 * q + 2 * kv) + 3 * h * self.intermediate_size + 2 * h
        if self.model_type == "qwen2":
            layer += q + 2 * kv
        if self.model_type == "qwen3":
            layer += 2 * hd
        embeddings = (1 if self.tie_word_embeddings else 2) * self.vocab_size * h
        return self.num_hidden_layers * layer + embeddings + h

    def kv_bytes_per_token(self, dtype_bytes: int = 2) -> int:
        """Keys and values of one position over all layers, before any head is replicated."""
        per_layer = 2 * self.num_key_value_heads * self.head_dim
        return self.num_hidden_layers * per_layer * dtype_bytes


@cache
def catalogue() -> Mapping[str, Geometry]:
    """By the names of `neuron.models.KNOWN_MODELS`."""
    raw = tomllib.loads(CATALOGUE.read_text(encoding="utf-8"))
    return MappingProxyType({name: Geometry.model_validate(raw[name]) for name in raw})


def by_folder_name(name: str) -> Geometry | None:
    """The shape that a folder's name promises; with `-v152064`, of that vocabulary."""
    padded = PADDED.search(name)
    geometry = catalogue().get(PADDED.sub("", name).lower().removesuffix("-instruct"))
    if geometry is None or padded is None:
        return geometry
    return geometry.model_copy(update={"vocab_size": int(padded["rows"])})


def _head_dim(raw: Mapping[str, Any]) -> int | None:
    """Qwen2's configs leave it out: the hidden size is split over the heads."""
    hidden, heads = raw.get("hidden_size"), raw.get("num_attention_heads")
    if isinstance(hidden, int) and isinstance(heads, int) and heads > 0:
        return hidden // heads
    return None

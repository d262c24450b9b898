"""Model folders to align: of a few tensors, or whole random Qwens that transformers wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

EMBEDDING = "model.embed_tokens.weight"
HEAD = "lm_head.weight"


def tokens(count: int) -> dict[str, int]:
    return {f"t{number}": number for number in range(count)}


def write_tokenizer(folder: Path, vocab: dict[str, int]) -> None:
    # The last one as an added token: both places of a tokenizer.json have to be read.
    *plain, last = vocab
    content = {
        "model": {"type": "BPE", "vocab": {text: vocab[text] for text in plain}, "merges": []},
        "added_tokens": [{"id": vocab[last], "content": last, "special": True}],
    }
    (folder / "tokenizer.json").write_text(json.dumps(content))


def write_target(folder: Path, rows: int, vocab: dict[str, int] | None = None) -> Path:
    """As much of a target as is looked at: its weights are not."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"vocab_size": rows}))
    (folder / "model.safetensors").touch()
    write_tokenizer(folder, vocab or tokens(12))
    return folder


def write_draft(
    folder: Path,
    head: torch.Tensor,
    *,
    inputs: torch.Tensor | None = None,
    vocab: dict[str, int] | None = None,
    **config: Any,  # noqa: ANN401
) -> Path:
    """A head [n, d] that is the embedding too, unless `inputs` [n, d] is given, and a norm."""
    folder.mkdir(parents=True)
    tied = inputs is None
    fields = {"model_type": "qwen2", "vocab_size": len(head), "tie_word_embeddings": tied, **config}
    (folder / "config.json").write_text(json.dumps(fields))
    tensors = {EMBEDDING: head if inputs is None else inputs, "model.norm.weight": torch.ones(7)}
    save_file(tensors if tied else {**tensors, HEAD: head}, folder / "model.safetensors")
    write_tokenizer(folder, vocab or tokens(12))
    return folder


def written(folder: Path) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        tensors |= load_file(path)
    return tensors


def write_qwen(
    folder: Path, rows: int, *, tied: bool, dtype: torch.dtype, shard: str, kind: str
) -> Path:
    """A random model of hidden size 16, saved by transformers itself."""
    torch.manual_seed(rows)
    config = AutoConfig.for_model(
        kind,
        vocab_size=rows,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=4,
        max_position_embeddings=128,
        tie_word_embeddings=tied,
        initializer_range=0.3,
    )
    model = AutoModelForCausalLM.from_config(config).to(dtype)
    model.save_pretrained(folder, max_shard_size=shard)
    write_tokenizer(folder, tokens(300))
    return folder

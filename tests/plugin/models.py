"""The bundled pair and tiny random Qwens, with plain greedy generation to hold them against."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from neuron.local.build import WEIGHTS
from neuron.local.corpus import held_out
from neuron.plugin.fused import Feed, FusedModel
from neuron.plugin.hf_model import load_config

TARGET = WEIGHTS / "target"
DRAFT = WEIGHTS / "draft"
# Two logits this close may swap when a matrix product is cut into other shapes (fp32).
TIE = 1e-3


class Plain:
    """Plain greedy generation, the whole sequence anew for each token: nothing to get wrong."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoModelForCausalLM

        self._model = AutoModelForCausalLM.from_pretrained(
            folder, config=load_config(folder), dtype=torch.float32
        ).eval()

    def logits(self, tokens: Sequence[int]) -> torch.Tensor:
        """[len(tokens), vocab]"""
        with torch.inference_mode():
            result: torch.Tensor = self._model(torch.tensor([list(tokens)])).logits[0]
        return result

    def greedy(self, prompt: Sequence[int], count: int) -> list[int]:
        tokens = list(prompt)
        for _ in range(count):
            tokens.append(int(self.logits(tokens)[-1].argmax()))
        return tokens[len(prompt) :]

    def explains(self, prompt: Sequence[int], tokens: Sequence[int]) -> bool:
        """Whether each token is the likeliest after those before it, ties aside."""
        rows = self.logits([*prompt, *tokens])[len(prompt) - 1 : -1]
        chosen = rows.gather(1, torch.tensor(list(tokens))[:, None])[:, 0]
        return bool((chosen >= rows.max(dim=1).values - TIE).all())


def prompts(count: int, task: str = "json_extract") -> list[list[int]]:
    """Token ids of held-out chats."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(TARGET / "tokenizer.json"))
    texts = [
        "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in example.messages)
        + "<|im_start|>assistant\n"
        for example in held_out(task, count)
    ]
    return [tokenizer.encode(text).ids for text in texts]


def random_qwen(folder: Path, kind: str, *, seed: int = 0, **changes: Any) -> Path:  # noqa: ANN401
    """A tiny checkpoint with random weights, its config spelt as transformers 5 does."""
    from transformers import AutoConfig, AutoModelForCausalLM

    fields = {
        "vocab_size": 64,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 256,
        "tie_word_embeddings": True,
        "initializer_range": 0.3,
        **changes,
    }
    torch.manual_seed(seed)
    config = AutoConfig.for_model(kind, **fields)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    path = folder / "config.json"
    written = json.loads(path.read_text())
    theta = changes.get("rope_theta", 10000.0)
    written.pop("rope_theta", None)
    written.pop("rope_scaling", None)
    written["rope_parameters"] = {"rope_type": "default", "rope_theta": theta}
    path.write_text(json.dumps(written))
    return folder


def run(
    model: FusedModel, sequences: dict[int, list[int]], count: int, rows: int
) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
    """Prompts by slot -> at least `count` tokens by slot, and the tokens of each step by slot."""
    out = {slot: [model.prefill(slot, prompt).token] for slot, prompt in sequences.items()}
    lengths: dict[int, list[int]] = {slot: [] for slot in sequences}
    while any(len(tokens) < count for tokens in out.values()):
        feeds = [
            Feed(slot, out[slot][-1], len(sequences[slot]) + len(out[slot]) - 1)
            for slot in sequences
        ]
        for feed, stepped in zip(feeds, model.step(feeds, rows), strict=True):
            out[feed.slot].extend(stepped.tokens)
            lengths[feed.slot].append(len(stepped.tokens))
    return out, lengths

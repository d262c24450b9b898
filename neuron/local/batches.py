"""Training batches: a fair mix of tasks, cut into rows of similar length; loss on answers only."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from transformers import PreTrainedTokenizerFast

from neuron.local.corpus import Example, stream

IGNORED = -100
_PARTS = 3


@dataclass(frozen=True)
class Batch:
    """`tokens` and `labels`: (rows, length) int64; label i is what must follow token i."""

    tokens: torch.Tensor
    labels: torch.Tensor


def encode(tokenizer: PreTrainedTokenizerFast, example: Example) -> tuple[list[int], list[int]]:
    """Token ids of the prompt as the engine will render it, and of the answer with its end mark."""
    prompt = tokenizer.apply_chat_template(
        list(example.messages),
        tools=list(example.tools) or None,
        tokenize=False,
        add_generation_prompt=True,
    )
    head = tokenizer.encode(prompt, add_special_tokens=False)
    tail = tokenizer.encode(example.answer, add_special_tokens=False)
    return head, [*tail, tokenizer.eos_token_id]


def collate(rows: list[tuple[list[int], list[int]]], pad: int) -> Batch:
    """Rows of (prompt, answer) as inputs and what must follow each."""
    shifted = []
    for head, tail in rows:
        labels = [IGNORED] * (len(head) - 1) + tail
        shifted.append(((head + tail)[:-1], labels))
    return pack(shifted, pad)


def pack(rows: list[tuple[list[int], list[int]]], pad: int) -> Batch:
    """Rows of (tokens, labels), equally long each, padded to the longest."""
    length = max(len(tokens) for tokens, _ in rows)
    batch = Batch(torch.full((len(rows), length), pad), torch.full((len(rows), length), IGNORED))
    for i, (tokens, labels) in enumerate(rows):
        batch.tokens[i, : len(tokens)] = torch.tensor(tokens)
        batch.labels[i, : len(labels)] = torch.tensor(labels)
    return batch


def batches(
    tokenizer: PreTrainedTokenizerFast, weights: Mapping[str, float], seed: int, size: int
) -> Iterator[list[Batch]]:
    """Endless steps of about `size` tokens, each in `_PARTS` parts.

    A step is drawn before it is sorted by length: length tells the task, so that steps of one
    length would each be of one task and undo one another.
    """
    examples = stream(weights, seed)
    pad = tokenizer.pad_token_id
    while True:
        rows, total = [], 0
        while total < size:
            rows.append(encode(tokenizer, next(examples)))
            total += len(rows[-1][0]) + len(rows[-1][1])
        rows.sort(key=lambda row: len(row[0]) + len(row[1]))
        share = -(-len(rows) // _PARTS)
        yield [collate(rows[i : i + share], pad) for i in range(0, len(rows), share)]

"""Teacher-forced figures on the held-out split: quick to get while training.

If every greedy choice under teacher forcing equals the reference answer, greedy generation prints
exactly that answer; so `exact` is a lower bound of what the engine will be measured to do.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from transformers import PreTrainedTokenizerFast, Qwen2ForCausalLM

from neuron.local.batches import IGNORED, collate, encode
from neuron.local.corpus import held_out

DRAFTS_PER_STEP = 7


@dataclass(frozen=True)
class TaskFigures:
    """`exact`: share of answers right in every token. `acceptance_length`: per draft, at K = 7."""

    task: str
    exact: float
    acceptance_length: tuple[float, ...]


def acceptance_length(agree: list[bool], drafts: int = DRAFTS_PER_STEP) -> float:
    """Mean tokens per step if `agree[i]` says that draft and target choose the same token i."""
    position = steps = 0
    while position < len(agree):
        run = 0
        while run < drafts and position + run < len(agree) and agree[position + run]:
            run += 1
        position += run + 1
        steps += 1
    return len(agree) / steps if steps else 0.0


def evaluate(
    tokenizer: PreTrainedTokenizerFast,
    target: Qwen2ForCausalLM,
    drafts: Iterable[Qwen2ForCausalLM],
    tasks: Iterable[str],
    prompts: int,
) -> list[TaskFigures]:
    models = [target, *drafts]
    figures = []
    for task in tasks:
        rows = [encode(tokenizer, example) for example in held_out(task, prompts)]
        batch = collate(rows, tokenizer.pad_token_id)
        with torch.no_grad():
            chosen = [model(batch.tokens).logits.argmax(-1) for model in models]
        answer = batch.labels != IGNORED
        right = (chosen[0] == batch.labels) | ~answer
        lengths = []
        for choice in chosen[1:]:
            runs = [(choice[i] == chosen[0][i])[answer[i]].tolist() for i in range(len(rows))]
            lengths.append(sum(map(acceptance_length, runs)) / len(runs))
        figures.append(TaskFigures(task, right.all(-1).float().mean().item(), tuple(lengths)))
    return figures

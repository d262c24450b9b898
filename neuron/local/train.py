"""Trains the bundled pair: `python -m neuron.local.train --minutes 110 --out DIR`.

The target learns from the answers, and in the same steps the drafts learn mostly from the target's
own distribution, which is what acceptance is made of. Every step holds some recall drills too: they
keep the copying circuit, which the models start with, from being unlearnt while formats are learnt.
"""

import itertools
import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click
import torch
import torch.nn.functional as F  # noqa: N812
from rich.console import Console
from transformers import AutoTokenizer, PreTrainedTokenizerFast, Qwen2ForCausalLM

from neuron.local import architecture
from neuron.local import tokenizer as bpe
from neuron.local.batches import IGNORED, Batch, batches
from neuron.local.corpus import TASKS
from neuron.local.drills import alphabet, drills
from neuron.local.evaluate import evaluate
from neuron.local.muon import Muon

# Share of each task in the stream: most where copying must be learnt.
WEIGHTS = {
    "json_extract": 16.0,
    "json_record": 10.0,
    "tool_call": 7.0,
    "sql": 4.0,
    "k8s_yaml": 3.0,
    "dataclass": 4.0,
    "csv_to_json": 40.0,
    "rename": 6.0,
    "count_repeat": 8.0,
    "prose": 4.0,
    "hex": 1.0,
}
BATCH_TOKENS, DRILL_TOKENS = 2400, 240
# Muon's usual 0.02 destroys the copying circuit within some dozen steps.
MUON_LR, ADAM_LR = 0.005, 3e-3
WARM_UP, COOL_DOWN = 0.01, 0.6
DISTIL = 0.8
EVALUATED = 10


@dataclass(frozen=True)
class Learner:
    """One model with the two optimisers that train it."""

    model: Qwen2ForCausalLM
    muon: Muon
    adam: torch.optim.AdamW

    def step(self, scale: float) -> None:
        self.muon.step(MUON_LR * scale)
        for group in self.adam.param_groups:
            group["lr"] = ADAM_LR * scale
        self.adam.step()
        self.adam.zero_grad(set_to_none=True)


def learner(model: Qwen2ForCausalLM) -> Learner:
    hidden = {id(p): p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n}
    rest = [p for p in model.parameters() if id(p) not in hidden]
    adam = torch.optim.AdamW(rest, lr=ADAM_LR, betas=(0.9, 0.95), weight_decay=0.0)
    return Learner(model, Muon(hidden.values()), adam)


def schedule(progress: float) -> float:
    """Learning rate as a share of its peak, `progress` from 0 to 1."""
    return min(1.0, progress / WARM_UP + 0.01, max(0.0, (1 - progress) / COOL_DOWN))


def answer_logits(model: Qwen2ForCausalLM, batch: Batch) -> torch.Tensor:
    """(answer tokens, vocabulary): the head is run only where there is a loss."""
    hidden = model.model(batch.tokens).last_hidden_state
    return model.lm_head(hidden[batch.labels != IGNORED])


def train(
    target: Learner, drafts: list[Learner], rate: float, parts: list[Batch], scale: float
) -> float:
    """The target's loss, in nats per token. `rate`: the target's share of the drafts' step size."""
    count = answer_tokens(parts)
    total = 0.0
    for part in parts:
        labels = part.labels[part.labels != IGNORED]
        logits = answer_logits(target.model, part)
        loss = F.cross_entropy(logits, labels, reduction="sum") / count
        loss.backward()
        total += loss.item()
        goal = logits.detach().log_softmax(-1)
        for draft in drafts:
            guess = answer_logits(draft.model, part)
            own = F.kl_div(guess.log_softmax(-1), goal, log_target=True, reduction="sum")
            given = F.cross_entropy(guess, labels, reduction="sum")
            ((DISTIL * own + (1 - DISTIL) * given) / count).backward()
    target.step(rate * scale)
    for draft in drafts:
        draft.step(scale)
    return total


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    loaded: PreTrainedTokenizerFast = AutoTokenizer.from_pretrained(folder)
    return loaded


def answer_tokens(parts: list[Batch]) -> int:
    return sum(int((part.labels != IGNORED).sum()) for part in parts)


def save(
    out: Path, tokenizer: PreTrainedTokenizerFast, models: dict[str, Qwen2ForCausalLM]
) -> None:
    for name, model in models.items():
        model.save_pretrained(out / name)
        tokenizer.save_pretrained(out / name)
        # transformers 5 writes a class of its own here that transformers 4 does not know.
        path = out / name / "tokenizer_config.json"
        config = json.loads(path.read_text())
        path.write_text(
            json.dumps({**config, "tokenizer_class": "PreTrainedTokenizerFast"}, indent=2)
        )


@dataclass
class Run:
    """The stream, the clock, the reports."""

    tokenizer: PreTrainedTokenizerFast
    models: dict[str, Qwen2ForCausalLM]
    out: Path
    report_every: float
    console: Console

    def learn(
        self,
        minutes: float,
        source: Iterator[list[Batch]],
        step: Callable[[list[Batch], float], float],
    ) -> None:
        started, report_at, seen = time.monotonic(), self.report_every, 0
        losses = deque[float](maxlen=100)
        for count in itertools.count(1):
            spent = (time.monotonic() - started) / 60
            if spent >= report_at or spent >= minutes:
                report_at += self.report_every
                loss = sum(losses) / max(1, len(losses))
                self.console.print(
                    f"{spent:.1f} min, step {count}, {seen / 1e6:.2f} M tokens, loss {loss:.3f}"
                )
                self.report()
            if spent >= minutes:
                return
            parts = next(source)
            losses.append(step(parts, schedule(spent / minutes)))
            seen += sum(part.tokens.numel() for part in parts)

    def report(self) -> None:
        save(self.out, self.tokenizer, self.models)
        target, *drafts = self.models.values()
        for f in evaluate(self.tokenizer, target, drafts, TASKS, EVALUATED):
            lengths = ", ".join(f"{length:.2f}" for length in f.acceptance_length)
            self.console.print(f"  {f.task:13} exact {f.exact:.2f}  acceptance length {lengths}")


@click.command()
@click.option("--minutes", default=110.0, show_default=True, help="Wall time to train for.")
@click.option("--seed", default=0, show_default=True)
@click.option("--report-every", default=8.0, show_default=True, help="Minutes between reports.")
@click.option(
    "--target-rate",
    default=1.0,
    show_default=True,
    help="Of the target's steps beside the drafts'.",
)
@click.option(
    "--start",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Go on from the models of an earlier run; name another --part then.",
)
@click.option("--part", default=0, show_default=True, help="Of the corpus, which has no end.")
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(
    minutes: float,
    seed: int,
    report_every: float,
    target_rate: float,
    start: Path | None,
    part: int,
    out: Path,
) -> None:
    """Train tokenizer, target and the drafts of one and two layers; write them under OUT."""
    console = Console(stderr=True)
    torch.manual_seed(seed)
    tokenizer = bpe.build(seed) if start is None else load_tokenizer(start / "target")
    configs = {
        "target": architecture.target_config(tokenizer),
        "draft-1": architecture.draft_config(tokenizer, 1),
        "draft-2": architecture.draft_config(tokenizer, 2),
    }
    if start is None:
        twins = alphabet(tokenizer).twins
        models = {name: architecture.model(config, twins) for name, config in configs.items()}
    else:
        models = {name: Qwen2ForCausalLM.from_pretrained(start / name) for name in configs}
    for name, model in models.items():
        console.print(
            f"{name}: {sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters"
        )
    target, *drafts = map(learner, models.values())
    drilling = drills(tokenizer, seed + part, DRILL_TOKENS)
    lessons = batches(tokenizer, WEIGHTS, seed + part, BATCH_TOKENS)
    source = ([*parts, drill] for parts, drill in zip(lessons, drilling, strict=True))
    run = Run(tokenizer, models, out, report_every, console)
    run.learn(minutes, source, partial(train, target, drafts, target_rate))


if __name__ == "__main__":
    main()

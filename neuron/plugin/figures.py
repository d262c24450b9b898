"""What the plugin costs and wins on this machine: `python -m neuron.plugin.figures`, JSON out.

Everything is measured on TorchFusedModel and the bundled pair, or on made-up logits of Qwen's
vocabulary. Nothing here has run on a Neuron device.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice

import numpy as np
import torch

from neuron.local.build import WEIGHTS, ensure_built
from neuron.local.corpus import CONTROLS, STRUCTURED, held_out
from neuron.plugin.adaptive import AdaptivePace
from neuron.plugin.fused import Feed, Limits, Prefilled, Stepped, rows_for
from neuron.plugin.pace import FullPace, Pace
from neuron.plugin.runner import Arrival, Batch, Runner
from neuron.plugin.sampling import Chooser, History, Sampling
from neuron.plugin.torch_fused import TorchFusedModel
from neuron.plugin.verify import unpacked, verify

SLOTS = 4
K = 5
MAX_LEN = 512
TOKENS = 64
QWEN_VOCAB = 152_064
EOS = 2
PACING_K = 7
COST_REPEATS = 5
Prompts = Sequence[Sequence[int]]


def prompts(tasks: Sequence[str], each: int) -> list[list[int]]:
    """Interleaved by task, so that neighbours in a batch are unlike."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(WEIGHTS / "target" / "tokenizer.json"))
    found = []
    for number in range(each):
        for task in tasks:
            messages = held_out(task, each)[number].messages
            text = "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in messages)
            found.append(tokenizer.encode(text + "<|im_start|>assistant\n").ids)
    return found


def fused(*, k: int = K, shared_draft_mask: bool = False, big: bool = False) -> TorchFusedModel:
    model = TorchFusedModel(
        ensure_built().target if big else WEIGHTS / "target",
        WEIGHTS / "draft",
        rows=rows_for(k),
        slots=SLOTS,
        max_prompt=MAX_LEN // 2,
        max_len=MAX_LEN,
        shared_draft_mask=shared_draft_mask,
    )
    model.load()
    return model


@dataclass(frozen=True)
class Costs:
    """Seconds that the enlarged target's calls take on this machine, medians."""

    prefill: float
    steps: Mapping[tuple[int, int], float]
    """By rows and batch."""

    @classmethod
    def measured(cls) -> Costs:
        model = fused(k=PACING_K, big=True)
        queue = prompts(STRUCTURED, 1)[:SLOTS]
        prefill = milliseconds(lambda: model.prefill(0, queue[0]), COST_REPEATS) / 1000
        for slot, prompt in enumerate(queue):
            model.prefill(slot, prompt)
        steps = {}
        for batch in range(1, SLOTS + 1):
            feeds = [Feed(slot, 5, len(queue[slot])) for slot in range(batch)]
            for rows in model.limits.row_choices:
                taken = milliseconds(partial(model.step, feeds, rows), COST_REPEATS)
                steps[rows, batch] = taken / 1000
        return cls(prefill, steps)


class Priced:
    """The small pair's tokens at the enlarged pair's price: they say the same, token for token."""

    def __init__(self, model: TorchFusedModel, costs: Costs) -> None:
        self._model = model
        self._costs = costs
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    def load(self) -> Limits:
        return self._model.load()

    def prefill(self, slot: int, tokens: Sequence[int], *, logits: bool = False) -> Prefilled:
        self.now += self._costs.prefill
        return self._model.prefill(slot, tokens, logits=logits)

    def step(self, feeds: Sequence[Feed], rows: int) -> list[Stepped]:
        self.now += self._costs.steps[rows, len(feeds)]
        return self._model.step(feeds, rows)

    def release(self, slot: int) -> None:
        self._model.release(slot)

    def close(self) -> None:
        self._model.close()


class Served:
    """A queue of prompts through a runner, slots refilled as sequences end."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.steps = 0
        self.emitted = 0
        self.sequence_steps = 0

    def run(self, queue: Prompts, samplings: Sequence[Sampling] | None = None) -> Served:
        asked = samplings or [Sampling()] * len(queue)
        pairs = zip(queue, asked, strict=True)
        waiting = [Arrival(str(i), prompt, one) for i, (prompt, one) in enumerate(pairs)]
        waiting.reverse()
        lengths: dict[str, int] = {}
        finished: set[str] = set()
        while waiting or lengths:
            drafts = self.runner.next_drafts(lengths) if lengths else 0
            arrivals = [waiting.pop() for _ in range(min(SLOTS - len(lengths), len(waiting)))]
            self.runner.run(Batch(finished, arrivals, dict.fromkeys(lengths, drafts)))
            self.steps += bool(lengths)
            finished = set()
            for one in self.runner.decide():
                if one.request_id in lengths:
                    self.sequence_steps += 1
                    self.emitted += len(one.tokens)
                lengths[one.request_id] = lengths.get(one.request_id, 0) + len(one.tokens)
                if EOS in one.tokens or lengths[one.request_id] >= TOKENS:
                    finished.add(one.request_id)
                    del lengths[one.request_id]
        return self

    @property
    def acceptance_length(self) -> float:
        """Tokens per step and sequence."""
        return self.emitted / self.sequence_steps


def mask_fault(each: int) -> dict[str, float]:
    """Acceptance length at batch 4 with reused slots, as repaired and as NxDI ships it."""
    queue = prompts([*STRUCTURED, *CONTROLS], each)
    repaired, shipped = (
        Served(Runner(model, model.limits, FullPace(model.limits))).run(queue).acceptance_length
        for model in (fused(), fused(shared_draft_mask=True))
    )
    return {
        "prompts": len(queue),
        "k": rows_for(K),
        "repaired": round(repaired, 3),
        "as_shipped": round(shipped, 3),
        "lost_share_of_accepted": round(1 - (shipped - 1) / (repaired - 1), 3),
    }


def pacing(each: int, costs: Costs) -> dict[str, dict[str, float]]:
    """Tokens per second at the enlarged target's price: all drafts, none, and adaptive.

    The tokens are real, the time is the sum of the measured medians, so that the three differ by
    what they chose and not by what the machine did. Controls are sampled at temperature 1, as
    greedy hex is a loop that a draft can follow; verifying them on the host is not in the time.
    """
    model = fused(k=PACING_K)
    mixes = {"structured": STRUCTURED, "controls": CONTROLS, "mixed": [*STRUCTURED, *CONTROLS * 4]}
    results = {}
    for name, tasks in mixes.items():
        queue = list(islice(cycle(prompts(tasks, 6)), each))
        hot = [task in CONTROLS for task in islice(cycle(tasks), each)]
        samplings = [
            Sampling(temperature=1.0, seed=number) if one else Sampling()
            for number, one in enumerate(hot)
        ]
        paces: dict[str, Pace] = {
            "full": FullPace(model.limits),
            "none": _Fixed(1),
            "adaptive": AdaptivePace(model.limits),
        }
        speeds = {}
        for label, pace in paces.items():
            priced = Priced(model, costs)
            runner = Runner(priced, model.limits, pace, clock=priced.clock)
            served = Served(runner).run(queue, samplings)
            speeds[label] = round((served.emitted + len(queue)) / priced.now, 1)
        results[name] = speeds
    return results


class _Fixed(FullPace):
    def __init__(self, rows: int) -> None:
        self._rows = rows


def verification(vocab: int) -> dict[str, float]:
    """Milliseconds of host verification per sequence and step in which all k rows are looked at."""
    rows = rows_for(K)
    logits = torch.randn(rows, vocab, generator=torch.Generator().manual_seed(0)) * 4
    words = np.full((rows, -(-vocab // 32)), -1, dtype=np.int32)
    asked = {
        "temperature": Sampling(temperature=1.0),
        "top_k 20": Sampling(temperature=1.0, top_k=20),
        "top_p 0.9": Sampling(temperature=1.0, top_p=0.9),
        "min_p 0.05": Sampling(temperature=1.0, min_p=0.05),
        "penalties, greedy": Sampling(frequency=0.5),
        "logprobs 5, greedy": Sampling(logprobs=5),
        "grammar, greedy": Sampling(grammar=True),
    }

    def once(sampling: Sampling) -> None:
        generator = torch.Generator().manual_seed(1)
        chooser = Chooser(sampling, History(range(100)), generator)
        allowed = unpacked(words, vocab) if sampling.grammar else None
        candidates = _Agreeing()
        verify(logits, candidates, chooser, limit=rows, allowed=allowed)

    return {
        "rows": rows,
        "bytes per sequence and step, fp32": rows * vocab * 4,
        **{name: round(milliseconds(partial(once, s)), 2) for name, s in asked.items()},
    }


class _Anything(int):
    """Equal to every token, so that no row is left out."""

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = int.__hash__


class _Agreeing(list[int]):
    def __init__(self) -> None:
        super().__init__([_Anything()] * K)


def milliseconds(work: Callable[[], object], repeats: int = 15) -> float:
    work()
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken) * 1000


def main() -> None:
    each = int(sys.argv[1]) if len(sys.argv) > 1 else 6
    costs = Costs.measured()
    found = {
        "threads": torch.get_num_threads(),
        "mask_fault": mask_fault(each),
        "verification_ms": {str(v): verification(v) for v in (3072, QWEN_VOCAB)},
        "step_ms": {
            f"{rows} rows, batch {batch}": round(1000 * seconds, 1)
            for (rows, batch), seconds in costs.steps.items()
        },
        "pacing_tokens_per_second": pacing(16 * each, costs),
    }
    json.dump(found, sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()

"""What a step of a model costs on this machine, with random weights: no model is needed.

One forward pass of a decoder of the given shape over a filled cache, in plain PyTorch: 1 row is a
step, K+1 rows a verification, 1 row of the draft a draft pass. It is no engine: what scheduling,
sampling and serving add is left out, and no weight was trained, so nothing is said of acceptance.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil  # type: ignore[import-untyped]

from bench.errors import UsageProblemError
from neuron.catalogue import Geometry
from neuron.shapes import shape_of

if TYPE_CHECKING:
    from transformers import Qwen2ForCausalLM

LABEL = (
    "Random weights of these shapes, PyTorch eager on this machine's CPU, no engine and no draft "
    "loop around it: step costs only; nothing here says how many drafts would be accepted."
)
WARM = 2
SPARE = 0.8
"""Of the memory that is free: what both models may take."""
BYTES = {"float32": 4, "bfloat16": 2}


@dataclass(frozen=True)
class Rows:
    """Passes of one model with so many rows. ms."""

    model: str
    rows: int
    median_ms: float
    low_ms: float
    high_ms: float
    """Quartiles."""


@dataclass(frozen=True)
class StepCosts:
    target: str
    draft: str | None
    dtype: str
    context: int
    threads: int
    passes: int
    label: str
    target_rows: tuple[Rows, ...]
    """By rows, from 1 to K+1."""
    draft_pass: Rows | None

    @property
    def base_ms(self) -> float:
        return self.target_rows[0].median_ms

    def step_ms(self, k: int) -> float:
        """One step with k drafts: k draft passes and a verification of k + 1 rows."""
        drafting = 0.0 if self.draft_pass is None else k * self.draft_pass.median_ms
        return drafting + self.target_rows[k].median_ms


def parameters(shape: Geometry) -> int:
    heads = 2 * (shape.num_attention_heads + shape.num_key_value_heads) * shape.head_dim
    layer = shape.hidden_size * (heads + 3 * shape.intermediate_size)
    return shape.num_hidden_layers * layer + 2 * shape.vocab_size * shape.hidden_size


def check_memory(refs: tuple[str, ...], dtype: str) -> None:
    need = sum(parameters(shape_of(ref)) for ref in refs) * BYTES[dtype]
    free = psutil.virtual_memory().available
    if need > SPARE * free:
        raise UsageProblemError(
            f"{' and '.join(refs)} in {dtype} take {need / 2**30:.1f} GiB and {free / 2**30:.1f} "
            "GiB are free: choose smaller shapes, or --dtype bfloat16."
        )


def measure_steps(
    target: str,
    draft: str | None,
    *,
    k: int,
    context: int,
    dtype: str,
    passes: int,
    clock: Callable[[], int] = time.perf_counter_ns,
) -> StepCosts:
    """Raises UsageProblemError where the models do not fit in memory."""
    import torch

    check_memory(tuple(ref for ref in (target, draft) if ref), dtype)
    with torch.inference_mode():
        large = _random(shape_of(target), dtype)
        rows = tuple(
            _timed(target, large, number, context, passes, clock) for number in range(1, k + 2)
        )
        del large
        drafted = None
        if draft is not None:
            drafted = _timed(draft, _random(shape_of(draft), dtype), 1, context, passes, clock)
    return StepCosts(
        target, draft, dtype, context, torch.get_num_threads(), passes, LABEL, rows, drafted
    )


def _random(shape: Geometry, dtype: str) -> "Qwen2ForCausalLM":
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.num_hidden_layers,
        num_attention_heads=shape.num_attention_heads,
        num_key_value_heads=shape.num_key_value_heads,
        vocab_size=shape.vocab_size,
        tie_word_embeddings=False,
        use_cache=True,
    )
    config.head_dim = shape.head_dim
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, dtype))
    try:
        return Qwen2ForCausalLM(config).eval()
    finally:
        torch.set_default_dtype(before)


def _timed(
    name: str,
    model: "Qwen2ForCausalLM",
    rows: int,
    context: int,
    passes: int,
    clock: Callable[[], int],
) -> Rows:
    taken = sorted(_passes(model, rows, context, passes, clock))
    low, median, high = statistics.quantiles(taken, n=4, method="inclusive")
    return Rows(name, rows, median, low, high)


def _passes(
    model: "Qwen2ForCausalLM", rows: int, context: int, passes: int, clock: Callable[[], int]
) -> Iterator[float]:
    import torch
    from transformers import DynamicCache

    size = model.config.vocab_size
    cache = DynamicCache(config=model.config)
    model(torch.randint(size, (1, context)), past_key_values=cache)
    for number in range(WARM + passes):
        tokens = torch.randint(size, (1, rows))
        started = clock()
        model(tokens, past_key_values=cache)
        taken = (clock() - started) / 1e6
        # Rejected rows leave the cache again: each pass sees the same context.
        cache.crop(-rows)
        if number >= WARM:
            yield taken

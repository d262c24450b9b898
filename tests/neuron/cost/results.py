"""Result files of `bench` whose steps take what a model with known coefficients says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.record import Measured, Result
from neuron.catalogue import catalogue
from neuron.cost import Costs, Model, Setup
from neuron.pair import load_pair
from tests.bench.results import measured, reply, result

STEPS = 60
PROMPT, CONTEXT = 3, 34
"""reply()'s three prompt tokens, and half of the answer's: 61 and 62 tokens."""


def trainium_result(model: Model, pair_name: str = "qwen3-32b-tp32", **pair: object) -> Result:
    """Both arms of a pair that ships, three prompts each."""
    described: dict[str, Any] = {**load_pair(pair_name).model_dump(), **pair}
    target, draft, k = catalogue()["qwen3-32b"], catalogue()["qwen3-1.7b"], 4
    setup = Setup(target, draft, described["tp_degree"] or 1, described["max_num_seqs"], CONTEXT)
    costs = Costs.of(model, setup, loop="nxdi")
    requests: list[Measured] = []
    for prompt in range(3):
        plain = reply(costs.plain_ms, 1, tuple(range(STEPS + 1)), speculative=False)
        spec = reply(costs.step_ms(k), 1, tuple(range(STEPS + 1)), speculative=True)
        requests += [
            measured("json_extract", prompt, 0, "plain", plain),
            measured("json_extract", prompt, 0, "speculative", spec),
        ]
    base = result("json_extract")
    provenance = base.provenance.model_copy(update={"pair": described})
    return base.model_copy(update={"requests": tuple(requests), "provenance": provenance})


def write(found: Result, folder: Path) -> Path:
    path = folder / "speedup.json"
    path.write_text(found.model_dump_json(), encoding="utf-8")
    return path

"""What the plugin and vLLM around it take beside the model, as JSON:
`.venv-nxdi/bin/python -m tests.plugin.vllm16.overhead`.

The model writes down when each of its calls began and ended; between the end of one step and the
start of the next lies everything else.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from tests.plugin.models import prompts
from tests.plugin.vllm16 import recording
from tests.plugin.vllm16.engine import SLOTS, body, complete_all, running

TOKENS = 160
SHAPES: dict[str, dict[str, object]] = {
    "greedy": {},
    "temperature 1": {"temperature": 1.0},
    # Longer than what is asked for, so that it never ends: ignore_eos is refused beside it.
    "grammar, greedy": {"structured_outputs": {"regex": "(.|\\n){2000}"}, "ignore_eos": False},
}


def between(steps: Sequence[recording.Step], batch: int) -> dict[str, float]:
    """Medians in milliseconds over neighbouring steps of a full batch."""
    full = [(a, b) for a, b in pairwise(steps) if len(a.slots) == len(b.slots) == batch]
    gaps = [(b.start - a.end) * 1000 for a, b in full]
    model = [(a.end - a.start) * 1000 for a, _ in full]
    return {
        "steps": len(full),
        "model_ms": round(statistics.median(model), 2),
        "beside_ms": round(statistics.median(gaps), 2),
        "beside_p90_ms": round(statistics.quantiles(gaps, n=10)[-1], 2),
    }


def main() -> None:
    found: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as scratch:
        start = time.monotonic()
        with running(Path(scratch)) as engine:
            found["start_s"] = round(time.monotonic() - start, 1)
            for name, fields in SHAPES.items():
                for batch in (1, SLOTS):
                    seen = len(recording.steps(engine.calls))
                    requests = [
                        body(prompt, **{"max_tokens": TOKENS, "ignore_eos": True, **fields})
                        for prompt in prompts(2 * batch, "json_record")
                    ]
                    asyncio.run(complete_all(engine, requests, at_once=batch))
                    steps = recording.steps(engine.calls)[seen:]
                    found[f"{name}, batch {batch}"] = between(steps, batch)
    json.dump(found, sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()

"""What the programs wrote of a fake engine: 4 tokens per chunk after the first, 30 ms a step.

The files hold each request's raw times too, of which a reply of ours can be made.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.crosscheck.definitions import Sent
from bench.crosscheck.programs import Job
from bench.events import Event
from bench.record import Reply, Speculation

FOLDER = Path(__file__).parent
SERVE = FOLDER / "vllm_serve.json"
"""vLLM 0.32, with --save-detailed."""
GUIDELLM = FOLDER / "guidellm.json"
"""guidellm 0.8.1, without what it does not print of these figures."""
LENGTHS = (15, 49, 27)
SPECULATION = Speculation(steps=23, drafted=161, accepted=65)


def job(folder: Path, prompts: int = 3) -> Job:
    texts = tuple("abcdefgh"[:prompts])
    return Job("http://127.0.0.1:1", "m", "/tokenizer", texts, 96, folder)


def load(path: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(path.read_text())
    return told


def served() -> list[Sent]:
    """Our replies as vLLM's own client saw them."""
    told = load(SERVE)
    replies = []
    for start, ttft, gaps, count in zip(
        told["start_times"], told["ttfts"], told["itls"], told["output_lens"], strict=True
    ):
        times = [ttft]
        for gap in gaps:
            times.append(times[-1] + gap)
        sizes = [1, *[4] * (len(times) - 2), count - 1 - 4 * (len(times) - 2)]
        replies.append(Sent(round(start * 1e9), reply(times, sizes, times[-1])))
    return replies


def guided() -> list[Sent]:
    """Our replies as guidellm saw the requests that it did not take for a warm-up."""
    replies = []
    for one in load(GUIDELLM)["benchmarks"][0]["requests"]["successful"][2:]:
        times, count = one["timings"], one["output_tokens"]
        begun = times["request_start"]
        at = [times[f"{place}_token_iteration"] - begun for place in ("first", "last")]
        whole = reply(at, [1, count - 1], times["request_end"] - begun)
        replies.append(Sent(round(begun * 1e9), whole))
    return replies


def reply(times: Sequence[float], sizes: Sequence[int], ended: float) -> Reply:
    """A chunk of `sizes[i]` tokens after `times[i]` seconds."""
    return Reply(
        status=200,
        events=tuple(
            Event(at_ns=round(at * 1e9), read=read, tokens=size, text="x")
            for read, (at, size) in enumerate(zip(times, sizes, strict=True))
        ),
        reads=len(times),
        ended_ns=round(ended * 1e9),
        completion_tokens=sum(sizes),
        speculation=SPECULATION,
    )

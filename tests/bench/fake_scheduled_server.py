"""An engine in a process of its own that writes down when it wrote what.

`python -m tests.bench.fake_scheduled_server PORT LOG PROFILE ANSWERS`: PROFILE is one of PROFILES,
ANSWERS a JSON file of what is said to which prompt. Every socket write is a line of LOG: the
request's cache_salt and the monotonic clock, which is the same in every process of a machine.
"""

import asyncio
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from tests.bench.fake_engine import (
    DONE,
    FakeEngine,
    Frame,
    Pace,
    chunk_event,
    event,
    serving,
    usage_event,
)


@dataclass(frozen=True)
class Profile:
    first_s: float
    step_s: float
    size: int
    speculative: bool

    def pieces(self, answer: str) -> list[str]:
        rest = range(1, len(answer), self.size)
        return [answer[:1], *(answer[at : at + self.size] for at in rest)]


PROFILES = {
    "slow steps of one": Profile(first_s=0.03, step_s=0.02, size=1, speculative=False),
    "long steps of six": Profile(first_s=0.05, step_s=0.03, size=6, speculative=True),
}


def frames(profile: Profile, answer: str) -> list[Frame]:
    """Also a role before the first token, and each second chunk in two writes, cut in a letter."""
    pieces = profile.pieces(answer)
    role = {"index": 0, "text": "", "token_ids": None, "finish_reason": None}
    found = [Frame(profile.first_s / 2, event({"id": "x", "choices": [role]}))]
    for number, piece in enumerate(pieces):
        wait = profile.step_s if number else profile.first_s / 2
        last = number == len(pieces) - 1
        data = chunk_event(piece, [ord(one) for one in piece], "stop" if last else None)
        if number % 2:
            data = data.replace(b'"id": "x"', '"id": "ö"'.encode())
            cut = data.index("ö".encode()) + 1
            found += [Frame(wait / 2, data[:cut]), Frame(wait / 2, data[cut:])]
        else:
            found.append(Frame(wait, data))
    taken = [len(piece) - 1 for piece in pieces[1:]] if profile.speculative else None
    return [*found, Frame(0, usage_event(len(answer), taken) + DONE)]


def noting(engine: FakeEngine, log: TextIO) -> Pace:
    async def pace(seconds: float) -> None:
        await asyncio.sleep(seconds)
        line = {"salt": engine.requests[-1]["cache_salt"], "at_ns": time.perf_counter_ns()}
        log.write(json.dumps(line) + "\n")
        log.flush()

    return pace


async def serve(port: int, log: TextIO, profile: Profile, answers: dict[str, str]) -> None:
    engine = FakeEngine(lambda answer: frames(profile, answer), answers)
    engine.pace = noting(engine, log)
    async with serving(engine, port):
        await asyncio.Event().wait()


if __name__ == "__main__":
    with Path(sys.argv[2]).open("w") as sink:
        asyncio.run(
            serve(
                int(sys.argv[1]),
                sink,
                PROFILES[sys.argv[3]],
                json.loads(Path(sys.argv[4]).read_text()),
            )
        )

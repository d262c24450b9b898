"""The whole instrument against engines that say when they wrote what.

Truth is the engines' own log of their writes, on the clock that the client stamps with. A stamp is
never earlier than its write; how much later it is at most is known from the two, and no figure may
be further from the truth than that explains. The two profiles differ by a factor in every figure.
"""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from bench.child import ready_child
from bench.cli import run
from bench.engines import free_port
from bench.experiment import Step
from bench.record import Measured, Result, Settings
from bench.run import Urls, run_bench
from bench.series import OTHER_TOOLS, SERIES
from neuron.local.corpus import held_out
from tests.bench.fake_scheduled_server import PROFILES, Profile, frames

pytestmark = pytest.mark.anyio
PROMPTS = 2
PLAIN, SPECULATIVE = PROFILES
SETTINGS = Settings(
    workloads=("sql",), prompts=PROMPTS, rounds=1, concurrency=(1,), max_tokens=320, seed=0,
    guided=False, warmup=1,
)  # fmt: skip


@dataclass(frozen=True)
class Truth:
    """One request as its server knows it, with times on the client's clock."""

    one: Measured
    profile: Profile
    writes: tuple[int, ...]
    """When each frame was written."""

    @property
    def chunk_writes(self) -> list[int]:
        """When the last byte of each chunk with tokens was written."""
        found, at = [], 1
        for number in range(len(self.profile.pieces(self.one.reply.text))):
            at += number % 2
            found.append(self.writes[at])
            at += 1
        return found

    @property
    def late_ns(self) -> int:
        stamps = (self.one.started_ns + chunk.at_ns for chunk in self.one.reply.chunks)
        late = [at - wrote for at, wrote in zip(stamps, self.chunk_writes, strict=True)]
        assert min(late) >= 0
        return max(late)

    def as_written(self) -> Measured:
        """The same request, had nothing lain between the server's write and the stamp."""
        times = iter(self.chunk_writes)
        before = self.writes[0]
        events = []
        for event in self.one.reply.events:
            before = next(times) if event.tokens else before
            events.append(event.model_copy(update={"at_ns": before - self.one.started_ns}))
        reply = self.one.reply.model_copy(update={"events": tuple(events)})
        return self.one.model_copy(update={"reply": reply})


@asynccontextmanager
async def server(profile: str, folder: Path, answers: Path) -> AsyncIterator[tuple[str, Path]]:
    port, log = free_port(), folder / f"{profile}.jsonl"
    argv = (sys.executable, "-m", "tests.bench.fake_scheduled_server", str(port), str(log),
            profile, str(answers))  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    async with ready_child("server", argv, f"{url}/health", folder / f"{profile}.log", 60):
        yield url, log


def written(log: Path) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for line in log.read_text().splitlines():
        told = json.loads(line)
        found.setdefault(told["salt"].partition("-")[2], []).append(told["at_ns"])
    return found


async def measured(folder: Path) -> tuple[Result, list[Truth]]:
    examples = held_out("sql", PROMPTS)
    answers = folder / "answers.json"
    answers.write_text(json.dumps({one.messages[-1]["content"]: one.answer for one in examples}))
    steps = list[Step]()
    async with (
        server(PLAIN, folder, answers) as (plain, plain_log),
        server(SPECULATIVE, folder, answers) as (spec, spec_log),
    ):
        result = await run_bench(
            Urls(spec, plain), SETTINGS, lambda _: None, steps.append, watch_s=0.01
        )
    assert len(steps) == SETTINGS.planned
    logs = {"plain": written(plain_log), "speculative": written(spec_log)}
    names = {"plain": PLAIN, "speculative": SPECULATIVE}
    return result, [
        # The first line is of the response's head.
        Truth(
            one,
            PROFILES[names[one.arm]],
            tuple(logs[one.arm][f"sql-{one.prompt}-1-{one.block}"][1:]),
        )
        for one in result.requests
    ]


async def test_every_figure_is_what_the_servers_did(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result, truths = await measured(tmp_path)
    for truth in truths:
        check_one(truth)

    path = tmp_path / "result.json"
    path.write_text(result.model_dump_json())
    assert run(["report", str(path), "--json"]) in (0, 7)
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    late_ms = max(truth.late_ns for truth in truths) / 1e6
    for arm, side in (("plain", row["base"]), ("speculative", row["other"])):
        mine = [truth.as_written() for truth in truths if truth.one.arm == arm]
        for field, name, slack in (("ttft", "ttft", 1), ("e2e", "E2E", 1), ("step_gap", "step gap", 1)):  # noqa: E501  # fmt: skip
            series = next(one for one in SERIES if one.name == name)
            true = np.median([value for one in mine for value in series.of(one.reply)])
            assert abs(side[field] - true) <= slack * late_ms + 1e-6, (arm, field)
        tokens = min(len(one.reply.token_ids) for one in mine) - 1
        tpot = next(one for one in SERIES if one.name == "tpot")
        true = np.median([value for one in mine for value in tpot.of(one.reply)])
        assert abs(side["tpot"]["value"] - true) <= late_ms / tokens + 1e-6
        assert (side["requests"], side["valid"], side["exact"], side["unusable"]) == (4, 4, 4, 0)
    medians = row["base"]["tpot"]["value"] / row["other"]["tpot"]["value"]
    assert row["speedup"]["value"] == pytest.approx(medians, rel=1e-12)
    assert row["identity"]["divergences"] == []
    assert row["counted"]["refuted"] is None
    told = [p for truth in truths for p in pieces(truth) if truth.one.arm == "speculative"]
    assert row["acceptance"]["length"] == pytest.approx(np.mean([len(p) for p in told]))
    assert row["counted"]["acceptance"]["length"] == row["acceptance"]["length"]


def pieces(truth: Truth) -> list[str]:
    return truth.profile.pieces(truth.one.reply.text)[1:]


def check_one(truth: Truth) -> None:
    reply, profile = truth.one.reply, truth.profile
    assert reply.problem is None
    assert len(truth.writes) == len(frames(profile, reply.text))
    assert [chunk.tokens for chunk in reply.chunks] == [
        len(piece) for piece in profile.pieces(reply.text)
    ]
    # A sleep is a floor, to the microsecond: what the server was told to wait has passed.
    wrote = truth.chunk_writes
    assert wrote[0] - truth.one.started_ns >= 1e9 * profile.first_s - 1e3
    assert all(b - a >= 1e9 * profile.step_s - 1e3 for a, b in pairwise(wrote))
    slack = truth.late_ns / 1e6
    for series in (*SERIES, *OTHER_TOOLS):
        if series.name == "tokens/s":
            continue
        true, seen = (np.mean(series.of(one.reply)) for one in (truth.as_written(), truth.one))
        # The role and a finish without text have no write of their own in this log.
        span = profile.first_s * 1e3 if series.name.startswith("vllm bench") else 0.0
        assert abs(seen - true) <= slack + span + 1e-6, series.name

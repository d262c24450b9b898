"""While one stream is being stamped, nothing else is done with another."""

import asyncio
import time
from dataclasses import dataclass, field

import pytest

from bench.client import Target
from bench.experiment import Sink, Step, measure
from bench.prompts import Item
from bench.record import Measured, Settings
from bench.workloads import Workload
from bench.workloads.bundled import HeldOut
from neuron.local.corpus import Example, Outcome
from tests.bench.fake_engine import MODEL, FakeEngine, Steps, serving

pytestmark = pytest.mark.anyio
SETTINGS = Settings(
    workloads=("w",), prompts=3, rounds=1, concurrency=(2,), max_tokens=9, seed=0, guided=False,
    warmup=1,
)  # fmt: skip


@dataclass(frozen=True)
class Noting(Workload):
    judged: list[int] = field(default_factory=list)

    def judge(self, example: Example, text: str, finish_reason: str | None) -> Outcome:
        self.judged.append(time.perf_counter_ns())
        return Outcome(True, True, None)


def items(workload: Workload) -> list[Item]:
    example = Example(workload.name, 0, (), "")
    return [
        Item(workload, index, example, (65 + index,), 0.0, 9) for index in range(SETTINGS.prompts)
    ]


def kept(done: list[Measured]) -> Sink:
    return Sink(done.append, lambda _: None)


async def test_a_block_is_judged_when_it_has_ended_and_each_request_ticks_before() -> None:
    workload, steps, done = (
        Noting("w", True, HeldOut("sql")),
        list[tuple[int, Step]](),
        list[Measured](),
    )
    # Of different length, so that one of two streams ends in the middle of the other.
    engine = FakeEngine(Steps(step_s=0.002), {"A": "short", "B": "l" * 40, "C": "longer" * 3})
    async with serving(engine) as url:
        arms = Target("plain", url, MODEL), Target("speculative", url, MODEL)
        await measure(
            SETTINGS, items(workload), arms,
            lambda step: steps.append((time.perf_counter_ns(), step)), kept(done),
        )  # fmt: skip
    assert [step.done for _, step in steps] == list(range(1, 13))
    assert len(workload.judged) == len(done) == 12
    for block in range(4):
        mine = [one for one in done if one.block == block]
        ended = [one.started_ns + one.reply.ended_ns for one in mine]
        at = slice(3 * block, 3 * block + 3)
        assert min(workload.judged[at]) > max(ended)
        assert min(when for when, _ in steps[at]) < max(ended)


async def test_what_a_cut_block_has_measured_is_recorded() -> None:
    workload, done, enough = Noting("w", True, HeldOut("sql")), list[Measured](), asyncio.Event()
    engine = FakeEngine(Steps(step_s=0.002), {"A": "a", "B": "bb", "C": "c" * 4000})

    def observe(step: Step) -> None:
        if step.done == 2:
            enough.set()

    async with serving(engine) as url:
        arms = Target("plain", url, MODEL), Target("speculative", url, MODEL)
        run = asyncio.create_task(measure(SETTINGS, items(workload), arms, observe, kept(done)))
        await enough.wait()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
    assert sorted(one.prompt for one in done) == [0, 1]
    assert all(one.reply.problem is None for one in done)


async def test_the_warm_up_is_a_full_batch() -> None:
    for warmup, expected in ((0, 0), (1, 3), (5, 5)):
        engine = FakeEngine(Steps())
        settings = SETTINGS.model_copy(update={"concurrency": (3,), "warmup": warmup})
        async with serving(engine) as url:
            arms = Target("plain", url, MODEL), Target("speculative", url, MODEL)
            await measure(
                settings, items(Noting("w", True, HeldOut("sql"))), arms, lambda _: None, kept([])
            )
        warm = [body for body in engine.requests if "-warm-" in body["cache_salt"]]
        assert len(warm) == 2 * expected
        settling = [body for body in engine.requests if "-settle-" in body["cache_salt"]]
        assert len(settling) == (4 * 3 if warmup else 0)

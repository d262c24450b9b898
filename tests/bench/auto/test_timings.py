"""From a result of `bench` to what a replay needs of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.auto.timings import Timed, read_timings, timings_of
from bench.cli import run
from bench.errors import UsageProblemError
from bench.record import Result
from bench.settings import Arrivals
from bench.storage import write
from bench.workloads import choose
from tests.bench.results import result

WORKLOADS = ("json_extract", "tool_call", "prose")


def of_corpus(made: Result) -> Result:
    """With the prompts that its settings draw from the corpus."""
    answers = {
        (workload.name, index): example.answer
        for workload in choose(made.settings.workloads)
        for index, example in enumerate(workload.examples(3, made.settings.seed))
    }
    prompts = tuple(
        one.model_copy(update={"answer": answers[one.workload, one.index]}) for one in made.prompts
    )
    return made.model_copy(update={"prompts": prompts})


def test_every_prompt_has_its_class_and_its_times_on_both_engines() -> None:
    timings = timings_of(of_corpus(result(*WORKLOADS)))
    assert timings.levels == (1,)
    assert timings.provenance["commit"] == "0123456789abcdef"
    assert [one.workload for one in timings.prompts] == [w for w in WORKLOADS for _ in range(3)]
    first = timings.prompts[0]
    assert first.path[:3] == ("all", "schema", "schema@json_extract")
    # Nine tokens: one when the prefill ends at 100 ms, then one each 40 ms or four each 60 ms.
    assert first.times["1"] == {
        "speculative": (Timed(first_ms=100, total_ms=220, tokens=9),) * 2,
        "plain": (Timed(first_ms=100, total_ms=420, tokens=9),) * 2,
    }
    assert timings.prompts[3].path[1] == "tools"
    assert timings.prompts[-1].path == ("all", "text", "text@prose")


def test_unusable_answers_take_their_prompts_out() -> None:
    timings = timings_of(of_corpus(result(*WORKLOADS, broken="prose")))
    assert {one.workload for one in timings.prompts} == {"json_extract", "tool_call"}
    with pytest.raises(UsageProblemError, match="No prompt"):
        timings_of(of_corpus(result("prose", broken="prose")))


def test_another_corpus_is_refused() -> None:
    with pytest.raises(UsageProblemError, match="commit 0123456789abcdef"):
        timings_of(result("prose"))


def test_an_open_loop_is_refused() -> None:
    made = result("prose")
    settings = made.settings.model_copy(
        update={"concurrency": (0,), "arrivals": Arrivals(rate=1.0)}
    )
    with pytest.raises(UsageProblemError, match="--rate"):
        timings_of(made.model_copy(update={"settings": settings}))


def test_the_command_writes_what_replay_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = of_corpus(result(*WORKLOADS))
    out = tmp_path / "timings.json"
    assert run(["auto", "timings", str(write(made, tmp_path)), str(out)]) == 0
    assert str(out) in capsys.readouterr().err
    assert read_timings(out) == timings_of(made)
    assert run(["auto", "timings", str(write(made, tmp_path)), str(tmp_path)]) == 2
    assert "Is a directory; name a writable file" in capsys.readouterr().err

"""The whole command: engines are fakes, the programs are ones that replay what was recorded."""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from bench.child import finished_child
from bench.crosscheck.__main__ import run
from bench.crosscheck.programs import WARM, Job, Program, vllm_serve
from bench.crosscheck.run import Seams
from bench.errors import UnusableError
from neuron.local.corpus import held_out
from tests.bench.crosscheck.recorded import SERVE, load
from tests.bench.fake_engine import Steps
from tests.bench.processes import InProcess

EXAMPLES = held_out("sql", 3, 1)
ANSWERS = {one.messages[-1]["content"]: one.answer for one in EXAMPLES}
TOKENS = sum(len(one.answer) for one in EXAMPLES)
SPECULATIVE = Steps(4, first_s=0.002, step_s=0.001, speculative=True)
ROUNDS = 3


def acceptance() -> float:
    steps = [-(-(len(one.answer) - 1) // 4) for one in EXAMPLES]
    return (TOKENS - len(EXAMPLES)) / sum(steps)


@dataclass
class Replay:
    """Stands for a program: writes what was recorded, with other figures where told to."""

    name: str
    figures: dict[str, float] = field(
        default_factory=lambda: {
            "total_output_tokens": TOKENS,
            "spec_decode_acceptance_length": acceptance(),
        }
    )
    jobs: list[Job] = field(default_factory=list)

    def command(self, job: Job) -> Sequence[str]:
        self.jobs.append(job)
        job.data.write_text(json.dumps(load(SERVE) | self.figures))
        copy = "import shutil, sys; shutil.copy(*sys.argv[1:])"
        return (sys.executable, "-c", copy, str(job.data), str(job.out))

    @property
    def program(self) -> Program:
        return replace(vllm_serve(), name=self.name, command=self.command)


def call(*programs: Program, start: InProcess | None = None, more: Sequence[str] = ()) -> int:
    start = start or InProcess(ANSWERS, speculative=SPECULATIVE)
    seams = Seams(start, 0.01, find=Path, programs=programs)
    argv = ("-w", "sql", "--prompts", "3", "--rounds", str(ROUNDS), "--seed", "1", *more)
    return run((*argv, "--max-tokens", "200"), seams)


def test_every_printed_figure_has_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    one, two = Replay("one"), Replay("two")
    engines = InProcess(ANSWERS, speculative=SPECULATIVE)
    assert call(one.program, two.program, start=engines, more=["--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    rows = {(row["program"], row["figure"]): row for row in found["rows"]}
    recorded = load(SERVE)
    for name in ("one", "two"):
        for figure in ("ttft", "tpot", "itl", "e2el"):
            for shown in ("mean", "median", "p99"):
                row = rows[name, f"{figure.upper()} {shown}"]
                assert row["theirs"] == pytest.approx(recorded[f"{shown}_{figure}_ms"])
                assert row["ratio"]["value"] == pytest.approx(row["theirs"] / row["ours"])
                assert 0 < row["own"] < row["theirs"]
        assert rows[name, "output tokens"]["verdict"] == "agrees"
        assert rows[name, "output tokens"]["ours"] == TOKENS
        assert rows[name, "acceptance length"]["verdict"] == "agrees"
        assert rows[name, "TPOT median"]["verdict"] == "differs"
    assert {row["figure"] for row in found["rows"] if row["program"] == "bench, again"} == {
        f"{name} {shown}"
        for name in ("ttft", "tpot", "step gap", "E2E")
        for shown in ("mean", "median", "p99")
    }
    assert [list(one["printed"]) for one in found["rounds"]] == [
        ["one", "two"], ["two", "one"], ["one", "two"],
    ]  # fmt: skip
    assert all(len(block) == 3 for one in found["rounds"] for block in (one["first"], one["last"]))
    sent = engines.engines["speculative"].requests
    assert len(sent) == ROUNDS * 2 * (WARM + 3)
    assert {(body["temperature"], body["max_tokens"]) for body in sent} == {(0.0, 200)}
    asked = {"".join(map(chr, body["prompt"])) for body in sent}
    assert {text for job in one.jobs for text in job.prompts} == asked == set(ANSWERS)


def test_the_table_says_what_is_not_comparable(capsys: pytest.CaptureFixture[str]) -> None:
    other = Replay("one", {"total_output_tokens": TOKENS + 1.0})
    assert call(other.program) == 0
    shown = capsys.readouterr().out
    words = " ".join(shown.split())
    assert "bench, again" in shown
    assert "A program did not get the tokens that we got" in words
    assert "ITL: a gap between messages and not between tokens" in words
    assert "The rule: each round gives one ratio" in words


def test_equal_tokens_need_no_warning(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(Replay("one").program) == 0
    assert "did not get the tokens" not in " ".join(capsys.readouterr().out.split())


def test_a_program_that_fails_is_named_with_its_words(capsys: pytest.CaptureFixture[str]) -> None:
    broken = replace(
        vllm_serve(), command=lambda job: (sys.executable, "-c", "raise SystemExit('no luck')")
    )
    assert call(broken) == 5
    captured = capsys.readouterr()
    assert not captured.out
    assert "vllm bench serve ended with exit code 1; its output ends: no luck" in captured.err


def test_a_prompt_that_is_other_tokens_as_text_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    engines = InProcess(ANSWERS, speculative=SPECULATIVE, respell=str.upper)
    assert call(Replay("one").program, start=engines) == 5
    assert "is other tokens when it is sent as text" in capsys.readouterr().err


def test_our_own_broken_request_ends_it(capsys: pytest.CaptureFixture[str]) -> None:
    engines = InProcess(ANSWERS, speculative=Steps(4, lost_tokens=1))
    assert call(Replay("one").program, start=engines) == 5
    assert "A request of the bench's own is unusable" in capsys.readouterr().err


def test_a_zero_has_no_ratio(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(Replay("one", {"median_itl_ms": 0.0}).program, more=["--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    (row,) = (one for one in rows if (one["program"], one["figure"]) == ("one", "ITL median"))
    assert (row["verdict"], row["theirs"], row["ratio"]["value"]) == ("no ratio", 0, None)


def test_without_guidellm_it_says_where_to_get_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(("--guidellm", "/nowhere/guidellm")) == 2
    assert "make install-crosscheck" in capsys.readouterr().err


def test_a_program_that_hangs_is_ended(tmp_path: Path) -> None:
    late = tmp_path / "late"
    argv = (
        sys.executable, "-c",
        f"import time, pathlib; time.sleep(1.5); pathlib.Path({str(late)!r}).touch()",
    )  # fmt: skip
    with pytest.raises(UnusableError, match=r"slow had not ended after 0\.3 s"):
        asyncio.run(finished_child("slow", argv, tmp_path / "log", 0.3, {}))
    time.sleep(1.6)
    assert not late.exists()

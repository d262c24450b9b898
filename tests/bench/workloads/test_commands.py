"""The commands that list, show and rerun, against engines that say what they are told."""

import json
from contextlib import ExitStack
from pathlib import Path

import pytest

from bench import cli
from bench.client_limit import UNLIMITED
from bench.other_tools import llmperf_itl
from bench.record import Result
from bench.setup import Setup
from bench.summary import summarise
from bench.workloads import catalogue, choose
from tests.bench.fake_engine import FakeEngine, Steps, serving_in_thread

DOC = Path(__file__).parents[3] / "docs" / "workloads.md"


def run(*argv: str) -> int:
    return cli.run(argv, Setup(watch_s=0.01, limits=UNLIMITED))


def stored(folder: Path) -> Result:
    (path,) = folder.glob("*.json")
    return Result.model_validate_json(path.read_bytes())


def test_the_list_has_every_workload_and_the_docs_have_the_list(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("workloads", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in found] == [one.name for one in catalogue("full")]
    assert {one["name"] for one in found if one["guided"]} == {"json_extract", "csv_to_json"}
    rows = [
        f"| {one.code or '–'} | `{one.name}` | {one.about} |"
        for one in (*catalogue("full"), *catalogue("bundled"))
        if one.code != "AWS8"
    ]
    text = DOC.read_text()
    assert [line for line in text.split("\n") if line.startswith("| ") and "| `" in line] == rows
    assert run("workloads", "--profile", "bundled") == 0
    assert "count_repeat" in capsys.readouterr().out


def test_samples_are_shown_with_answer_and_validator(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("workloads", "show", "w1", "--seed", "3", "--n", "2", "--json") == 0
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    wanted = choose(["W1"], "full")[0].examples(2, 3)
    assert [one["answer"] for one in shown] == [one.answer for one in wanted]
    assert [one["messages"] for one in shown] == [list(one.messages) for one in wanted]
    assert run("workloads", "show", "W2") == 0
    text = capsys.readouterr().out
    assert "[tool]" in text
    assert "[answer] <tool_call>" in text
    assert run("workloads", "show", "W9") == 2


def test_the_published_experiment_prints_both_metrics(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = choose(["AWS8"], "full")
    asked = [one.messages[-1]["content"] for case in cases for one in case.examples(8, 0)]
    answers = dict.fromkeys(asked, "x" * 25)
    plain = FakeEngine(Steps(1, step_s=0.001, finish="length"), answers)
    spec = FakeEngine(Steps(8, step_s=0.001, speculative=True, finish="length"), answers)
    with ExitStack() as stack:
        urls = [stack.enter_context(serving_in_thread(one)) for one in (plain, spec)]
        arms = ("--plain-url", urls[0], "--speculative-url", urls[1])
        code = run("aws", *arms, "--json", "--out", str(tmp_path))
    out, err = capsys.readouterr()
    assert code == 0, err
    result = stored(tmp_path)
    bodies = [one for one in spec.requests if one["max_tokens"] == 600]
    assert {one["temperature"] for one in bodies} == {0.0}
    assert len(bodies) == 8 * 8 * 2
    rows = json.loads(out)
    assert [one["case"] for one in rows] == [one.name for one in cases]
    ours = {one.workload: one.other.tpot.value for one in summarise(result, UNLIMITED).rows}
    for row in rows:
        mine = [one for one in result.cell(row["case"], 4) if one.arm == "speculative"]
        theirs = sorted(llmperf_itl(one.reply)[0] for one in mine)
        assert row["llmperf_speculative"] == theirs[8]
        assert row["tpot_speculative"] == ours[row["case"]]
        assert {one.answer for one in mine} == {"truncated"}
        assert all(one.valid for one in mine)


def test_the_eight_prompts_are_made_as_llmperf_makes_them() -> None:
    frame = (
        "Randomly stream lines from the following text with 600 output tokens. "
        "Don't generate eos tokens:\n\n"
    )
    found = {
        one.name: one.examples(2, 7)[0].messages[-1]["content"] for one in choose(["AWS8"], "full")
    }
    assert all(text.startswith(frame) for text in found.values())
    assert found["aws_hello"] == frame + "hello world \n" * 7 + "he"
    assert found["aws_a"] == frame + "a\n" * 12 + "a"
    assert found["aws_python"].endswith("Write a simple Python function skeleton\nW")


def test_own_requests_are_measured_as_they_ask(tmp_path: Path) -> None:
    path, out = tmp_path / "mine.jsonl", tmp_path / "out"
    bodies = [
        {"messages": [{"role": "user", "content": f"say {i}"}], "max_tokens": 50 + i}
        for i in range(3)
    ]
    path.write_text("".join(json.dumps(one) + "\n" for one in bodies))
    answers = {f"say {i}": "some answer of a few tokens" for i in range(3)}
    plain = FakeEngine(Steps(1, step_s=0.002), answers)
    spec = FakeEngine(Steps(8, step_s=0.004, speculative=True), answers)
    with ExitStack() as stack:
        urls = [stack.enter_context(serving_in_thread(one)) for one in (plain, spec)]
        arms = ("--plain-url", urls[0], "--speculative-url", urls[1], "--out", str(out))
        assert run(*arms, "--workload-file", str(path), "--prompts", "3") == 0
        assert run(*arms, "--workload-file", str(path), "--prompts", "4") == 2
    settings = stored(out).settings
    assert settings.workloads == ("mine",)
    assert settings.files[0].path == str(path)
    measured = {one["max_tokens"] for one in plain.requests if 50 <= one["max_tokens"] < 60}
    assert measured == {50, 51, 52}

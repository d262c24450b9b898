"""The whole command against two fake engines: everything but the engines is real."""

import gc
import importlib
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from bench import cli
from bench.client_limit import UNLIMITED
from bench.engines import free_port
from bench.errors import EXIT_CODES
from bench.record import Result
from bench.setup import Setup
from neuron.local.corpus import held_out
from tests.bench.fake_engine import FakeEngine, Frame, Script, Steps, serving_in_thread

WORKLOADS = ("sql", "json_extract", "tool_call", "hex")
PROMPTS = 2
ANSWERS = {
    one.messages[-1]["content"]: one.answer for name in WORKLOADS for one in held_out(name, PROMPTS)
}
PLAIN = Steps(1, first_s=0.002, step_s=0.002)
SPECULATIVE = Steps(8, first_s=0.002, step_s=0.004, speculative=True)


def run(argv: list[str]) -> int:
    return cli.run(argv, Setup(watch_s=0.01, limits=UNLIMITED))


@contextmanager
def two_engines(
    plain: Script = PLAIN, speculative: Script = SPECULATIVE
) -> Iterator[tuple[list[str], FakeEngine, FakeEngine]]:
    arms = FakeEngine(plain, ANSWERS), FakeEngine(speculative, ANSWERS)
    with ExitStack() as stack:
        urls = [stack.enter_context(serving_in_thread(arm)) for arm in arms]
        given = ["--plain-url", urls[0], "--speculative-url", urls[1], "--profile", "bundled"]
        yield given, *arms


def asked(*names: str) -> list[str]:
    chosen = [part for name in names for part in ("-w", name)]
    return [*chosen, "--prompts", str(PROMPTS), "--warmup", "1"]


def test_a_run_measures_judges_stores_and_prints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with two_engines() as (urls, plain, speculative):
        code = run([*urls, *asked(*WORKLOADS), "--concurrency", "1,2", "--out", str(tmp_path)])
    out, err = capsys.readouterr()
    assert code == 0, err
    (path,) = tmp_path.glob("*.json")
    result = Result.model_validate_json(path.read_bytes())
    assert len(result.requests) == len(WORKLOADS) * PROMPTS * 4 * 2
    assert all(one.valid and one.exact for one in result.requests if one.workload != "hex")
    assert "structured, all" in out
    assert "concurrency 2" in out
    # The warm-up is a full batch, 1 and then 2 requests, and is not recorded; nor is the full
    # batch before each of the two blocks of every workload.
    unrecorded = (1 + 2) + 2 * len(WORKLOADS) * (1 + 2)
    assert len(plain.requests) == len(speculative.requests)
    assert len(plain.requests) == len(result.requests) // 2 + unrecorded
    measured = [body for body in plain.requests if body["max_tokens"] == 320]
    assert len({body["cache_salt"] for body in measured}) == len(measured)
    assert run(["report", str(path)]) == 0
    assert capsys.readouterr().out == out


def test_both_arms_get_the_same_prompts_and_never_at_once(tmp_path: Path) -> None:
    with two_engines() as (urls, plain, speculative):
        run([*urls, *asked("sql"), "--out", str(tmp_path)])
    assert [body["prompt"] for body in plain.requests] == [
        body["prompt"] for body in speculative.requests
    ]
    (path,) = tmp_path.glob("*.json")
    requests = Result.model_validate_json(path.read_bytes()).requests
    ends = [one.started_ns + one.reply.ended_ns for one in requests]
    assert all(end <= later.started_ns for end, later in zip(ends, requests[1:], strict=False))
    assert [one.block for one in requests] == [0, 0, 1, 1, 2, 2, 3, 3]


def test_the_client_collects_no_garbage_while_it_stamps(tmp_path: Path) -> None:
    collecting: list[bool] = []

    def watched(answer: str) -> list[Frame]:
        collecting.append(gc.isenabled())
        return PLAIN(answer)

    with two_engines(plain=watched) as (urls, *_):
        run([*urls, "-w", "sql", "--prompts", "2", "--warmup", "0", "--out", str(tmp_path)])
    assert collecting == [False] * 4
    assert gc.isenabled()


def test_json_is_the_result_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with two_engines() as (urls, *_):
        assert run([*urls, *asked("sql"), "--json", "--out", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out)["schema_version"] == 4


@pytest.mark.parametrize(
    ("speculative", "code", "words"),
    [
        (Steps(8, step_s=0.002, speculative=True, wrong_at=3), 5, "not the plain output on sql"),
        (Steps(8, speculative=True, lost_tokens=1), 5, "requests unusable"),
        (Steps(8, step_s=0.002), 5, "no speculative step"),
    ],
)
def test_what_cannot_be_used_has_its_own_exit_code(
    speculative: Steps,
    code: int,
    words: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with two_engines(speculative=speculative) as (urls, *_):
        argv = [*urls, *asked("sql"), "--require-faster", "--out", str(tmp_path)]
        assert run(argv) == code
    assert words in capsys.readouterr().err


def test_an_answer_cut_by_max_tokens_is_counted_and_never_valid(tmp_path: Path) -> None:
    cut = Steps(8, speculative=True, finish="length"), Steps(finish="length")
    with two_engines(speculative=cut[0], plain=cut[1]) as (urls, *_):
        run([*urls, *asked("sql"), "--out", str(tmp_path)])
    (path,) = tmp_path.glob("*.json")
    requests = Result.model_validate_json(path.read_bytes()).requests
    assert not any(one.valid or one.exact for one in requests)
    assert {one.reason for one in requests} == {"cut off by max_tokens"}


def test_an_engine_that_refuses_everything_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with two_engines() as (urls, plain, _):
        plain.refuse_with = 500
        assert run([*urls, *asked("sql"), "--out", str(tmp_path)]) == 4
    assert "The plain engine at http://127.0.0.1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (["-w", "nope"], 2, "choose from json_extract"),
        (["--concurrency", "1,x"], 2, "like 1,4"),
        (["--concurrency", "64"], 2, "max_num_seqs"),
        (["--max-tokens", "5000"], 2, "max_model_len"),
        (["--prompts", "1"], 2, "--prompts"),
        (["-k", "99"], 2, "--num-draft-tokens 99"),
        (["--pair", "nope"], 2, "pair named 'nope'"),
        (["--plot", "picture.txt"], 2, ".png, .svg or .pdf"),
        (["--plain-url", "http://127.0.0.1:1"], 2, "give both"),
        (["--out", "/proc/nope"], 2, "name a writable folder"),
        (["report", "/nowhere.json"], 2, "/nowhere.json"),
        (["--prompts", "9", "report", "/nowhere.json"], 2, "--prompts before report would not"),
        (["-k", "3", "-w", "sql", "overhead"], 2, "--num-draft-tokens, --workload before overhead"),
        (
            ["--plain-url", "http://a", "--speculative-url", "http://b", "--draft", "x", "-k", "2"],
            2,
            "--draft, --num-draft-tokens would not be used",
        ),
    ],
)
def test_bad_input_is_one_sentence_before_anything_starts(
    argv: list[str],
    code: int,
    words: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(argv) == code
    out, err = capsys.readouterr()
    assert words in err
    assert out == ""
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_an_engine_that_is_not_there_is_code_4(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    urls = ["--plain-url", url, "--speculative-url", url]
    assert run([*urls, "--out", str(tmp_path)]) == 4
    assert f"No engine answers at {url}" in capsys.readouterr().err


def test_help_and_docs_name_the_same_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    docs = (Path(__file__).parents[2] / "docs" / "bench.md").read_text()
    rows = dict(re.findall(r"^\| (\d+) \| (.+) \|$", docs, re.MULTILINE))
    assert {int(code): text for code, text in rows.items()} == EXIT_CODES
    for command in ([], ["report"], ["overhead"]):
        assert run([*command, "--help"]) == 0
        text = capsys.readouterr().out
        assert all(re.search(rf"^ +{code} +\S", text, re.MULTILINE) for code in EXIT_CODES)


def test_it_runs_as_a_module_and_the_three_commands_are_declared() -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--help"],
        cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert "Usage: bench " in done.stdout
    scripts = tomllib.loads((root / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts.keys() == {"neuron", "server", "bench"}
    for where in scripts.values():
        module, _, name = where.partition(":")
        assert callable(getattr(importlib.import_module(module), name))

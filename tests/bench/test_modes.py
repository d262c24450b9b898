"""A/A, open loops, SLOs, ratings, explanations, sizes: the commands, against fake engines."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from bench import cli
from bench.client_limit import UNLIMITED
from bench.record import Result
from bench.series import ALL
from bench.setup import Setup
from bench.validity import CLASSES
from neuron.local.corpus import held_out
from tests.bench.fake_engine import FakeEngine, Script, Steps, serving_in_thread
from tests.bench.results import result

ANSWERS = {one.messages[-1]["content"]: one.answer for one in held_out("sql", 2)}
PLAIN = Steps(1, first_s=0.002, step_s=0.002)
SPECULATIVE = Steps(8, first_s=0.002, step_s=0.004, speculative=True)
SHORT = ("-w", "sql", "--prompts", "2", "--warmup", "1")


def run(*argv: str) -> int:
    return cli.run(argv, Setup(watch_s=0.01, limits=UNLIMITED))


@contextmanager
def two_engines(
    speculative: Script = SPECULATIVE,
) -> Iterator[tuple[list[str], FakeEngine, FakeEngine]]:
    arms = FakeEngine(PLAIN, ANSWERS), FakeEngine(speculative, ANSWERS)
    with ExitStack() as stack:
        plain, spec = (stack.enter_context(serving_in_thread(arm)) for arm in arms)
        given = ["--plain-url", plain, "--speculative-url", spec, "--profile", "bundled"]
        yield given, *arms


def stored(folder: Path) -> Result:
    (path,) = folder.glob("*.json")
    return Result.model_validate_json(path.read_bytes())


def test_the_plain_engine_against_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = FakeEngine(PLAIN, ANSWERS)
    with serving_in_thread(engine) as url:
        # Two prompts of a few ms: by chance it may be called different from itself.
        assert run("--aa", "--plain-url", url, *SHORT, "--out", str(tmp_path)) in (0, 8)
        assert run("--aa", "--plain-url", url, "--speculative-url", url) == 2
    out, err = capsys.readouterr()
    found = stored(tmp_path)
    assert (found.kind, found.base, found.other) == ("aa", "plain", "again")
    assert {one.arm for one in found.requests} == {"plain", "again"}
    assert "plain and plain again" in out
    assert "--aa asks one plain engine" in err


def test_quick_stands_in_for_defaults_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mine.jsonl"
    mine.write_text(
        "".join(json.dumps({"messages": [{"role": "user", "content": one}]}) + "\n" for one in "ab")
    )
    given = {
        "all": (),
        "some": ("-w", "hex", "--prompts", "3", "--max-tokens", "64"),
        "own": ("--workload-file", str(mine)),
    }
    with two_engines() as (urls, *_):
        for name, more in given.items():
            run(*urls, "--quick", *more, "--warmup", "0", "--out", str(tmp_path / name))
    asked = {name: stored(tmp_path / name).settings for name in given}
    told = {name: (one.workloads, one.prompts, one.max_tokens) for name, one in asked.items()}
    assert told == {
        "all": (("json_extract", "sql", "prose"), 2, 96),
        "some": (("hex",), 3, 64),
        "own": (("mine",), 2, 320),
    }
    assert capsys.readouterr().out.count("A LOOK, NO CLAIM") == 3


@pytest.mark.parametrize(
    ("given", "prompts"),
    [
        ((), 3),
        (("--concurrency", "1,4"), 8),
        (("--quick", "--concurrency", "4"), 4),
        (("--rate", "500", "--burst", "3"), 6),
        (("--concurrency", "2", "--prompts", "2"), 2),
    ],
)
def test_there_are_prompts_for_all_that_is_to_be_in_flight(
    given: tuple[str, ...], prompts: int, tmp_path: Path
) -> None:
    with two_engines() as (urls, *_):
        run(*urls, "-w", "hex", *given, "--warmup", "0", "--out", str(tmp_path))
    assert stored(tmp_path).settings.prompts == prompts


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--concurrency", "4", "--prompts", "3"), "--prompts 3 never fills --concurrency 4"),
        (("--rate", "5", "--burst", "8", "--prompts", "2"), "--prompts 2 never fills --burst 8"),
    ],
)
def test_a_load_that_would_not_be_reached_is_refused(
    given: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*given) == 2
    assert words in capsys.readouterr().err


def test_an_open_loop_sends_both_arms_the_same_arrivals(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with two_engines() as (urls, *_):
        code = run(*urls, *SHORT, "--rate", "50", "--burst", "2", "--out", str(tmp_path))
        assert run(*urls, "--burst", "2") == 2
    out, err = capsys.readouterr()
    assert code == 0, err
    assert "50 requests/s, bursts of 2: time per output token" in out
    found = stored(tmp_path)
    assert found.settings.concurrency == (0,)
    assert {one.concurrency for one in found.requests} == {0}
    # A burst of two is in flight at once.
    first, second = (one for one in found.requests if one.block == 0)
    assert second.started_ns < first.started_ns + first.reply.ended_ns
    assert "--burst says how requests leave" in err


def test_goodput_counts_what_keeps_the_slo(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "r.json"
    path.write_text(result("sql").model_dump_json())

    def goodput(*slo: str) -> tuple[float, float]:
        assert run("report", str(path), "--json", *slo) == 0
        (row,) = json.loads(capsys.readouterr().out)["rows"]
        return row["base"]["goodput"], row["other"]["goodput"]

    # 40 ms a token against 15; 100 ms to the first.
    assert goodput() == pytest.approx((4.05, 8.82), abs=0.01)
    assert goodput("--slo-tpot", "20ms") == pytest.approx((0, 8.82), abs=0.01)
    assert goodput("--slo-tpot", "0.04s", "--slo-ttft", "100") == pytest.approx(
        (4.05, 8.82), abs=0.01
    )
    assert goodput("--slo-ttft", "99ms") == (0, 0)
    assert run("report", str(path), "--slo-tpot", "soon") == 2
    assert "no time like 15ms" in capsys.readouterr().err


@pytest.mark.parametrize(("gap", "code", "words"), [(0.01, 0, "a tie, +0.0100"), (3, 5, "a fault")])
def test_a_divergence_is_rated_by_the_plain_engine(
    gap: float, code: int, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = Steps(8, first_s=0.002, step_s=0.004, speculative=True, wrong_at=3)

    def rates(context: Sequence[int]) -> Mapping[int, float]:
        answers = [a for q, a in ANSWERS.items() if list(context) == [ord(c) for c in q + a[:3]]]
        return {ord(answers[0][3]): -0.1, ord(answers[0][3]) + 1: -0.1 - gap, 1: -9.0}

    with two_engines(wrong) as (urls, plain, _):
        plain.rates = rates
        assert run(*urls, *SHORT, "--out", str(tmp_path)) == code
    assert words in capsys.readouterr().out
    found = stored(tmp_path)
    # Two prompts, twice each; every place is asked about once.
    assert len(found.probes) == 4
    assert len(plain.questions) == 2
    assert {one.position for one in found.probes} == {3}


def test_somebody_elses_traffic_is_seen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with two_engines() as (urls, _, speculative):
        speculative.tally.foreign = 1
        assert run(*urls, *SHORT, "--out", str(tmp_path)) == 0
    out = capsys.readouterr().out
    assert re.search(r"Server counters not used for 1 of 1 rows.*tokens where ours had", out)


def test_other_tools_numbers_from_the_same_events(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "r.json"
    path.write_text(result("sql").model_dump_json())
    assert run("report", str(path), "--other-tools", "--json") == 0
    lines = {one["series"]: one for one in json.loads(capsys.readouterr().out)["lines"]}
    assert lines["tpot"]["base"]["mean"] == 40
    assert lines["tpot"]["other"]["mean"] == 15
    assert lines["vllm bench ITL"]["other"]["median"] == 60
    assert run("report", str(path), "--other-tools") == 0
    assert "for comparison only" in capsys.readouterr().out


def test_every_name_is_explained_and_none_is_a_bare_itl(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("explain") == 0
    listed = capsys.readouterr().out
    for name, definition in ALL.items():
        assert name in listed
        assert run("explain", name.replace(" ", "-").upper()) == 0
        assert definition.says in capsys.readouterr().out
    assert run("explain", "answers") == 0
    told = capsys.readouterr().out
    assert all(one in told for one in CLASSES)
    assert run("explain", "itl") == 2
    assert "Near it" in capsys.readouterr().err


def test_the_docs_have_each_definition() -> None:
    docs = (Path(__file__).parents[2] / "docs" / "bench.md").read_text()
    for name, definition in ALL.items():
        assert f"\n| {name} | {definition.says} |\n" in docs, name


def test_a_pilot_says_how_many_prompts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "r.json"
    path.write_text(result("sql", prompts=5).model_dump_json())
    assert run("size", str(path), "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert (row["needed"], row["prompts"]) == (20, 5)
    assert run("size", str(path)) == 0
    assert "20 prompts show 1.1x with a chance of 90%" in capsys.readouterr().out
    path.write_text(result("sql").model_dump_json())
    assert run("size", str(path)) == 2
    assert "3 prompts of sql do not tell its spread" in capsys.readouterr().err
    assert run("size", str(path), "--speedup", "1") == 2

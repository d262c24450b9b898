"""A sweep that stops and goes on, and its table. Ground truth: results whose times are known."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bench import cli
from bench.breakeven import modelled, points, render_points, step_costs
from bench.client_limit import UNLIMITED, ClientLimits
from bench.setup import Setup
from bench.summary import summarise
from bench.sweep import Cell
from neuron.local.corpus import held_out
from neuron.pair import load_pair
from tests.bench.processes import BUNDLED, InProcess, tiny_pair
from tests.bench.results import result

ANSWERS = {one.messages[-1]["content"]: one.answer for one in held_out("sql", 2)}


def sweep(folder: Path, pair: str, *more: str, start: InProcess | None = None) -> int:
    argv = ["sweep", "--pair", pair, *BUNDLED, "-w", "sql", "--prompts", "2", "--warmup", "1"]
    setup = Setup(start or InProcess(ANSWERS), 0.01, UNLIMITED)
    return cli.run([*argv, "--out", str(folder), *more], setup)


def test_a_sweep_measures_every_combination_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pair, out = tiny_pair(tmp_path), tmp_path / "out"
    axes = ("-k", "3,7", "--rate", "40")
    start = InProcess(ANSWERS)
    assert sweep(out, pair, *axes, start=start) == 0, capsys.readouterr().err
    told = capsys.readouterr().out
    assert "where speculation pays" in told
    assert "40 requests/s, Poisson" in told
    # One pair of engines for each K.
    assert len(start.logs) == 4
    assert len(list(out.glob("cell-*.json"))) == 4

    lost = out / "cell-003.json"
    lost.unlink()
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("cell-*.json")}
    again = InProcess(ANSWERS)
    assert sweep(out, pair, *axes, "--json", start=again) == 0
    assert len(again.logs) == 2
    assert lost.exists()
    kept = {path.name: path.stat().st_mtime_ns for path in out.glob("cell-*.json") if path != lost}
    assert kept == before
    shown = json.loads(capsys.readouterr().out)
    assert [(one["k"], one["level"]) for one in shown["points"]] == [
        (k, level) for k in (3, 7) for level in ("concurrency 1", "40 requests/s, Poisson")
    ]
    assert len(shown["step_costs"]) == 2

    assert sweep(out, pair, "-k", "3") == 2
    assert "holds another sweep" in capsys.readouterr().err


def test_guided_is_an_axis(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = held_out("json_extract", 2)
    start = InProcess({one.messages[-1]["content"]: one.answer for one in asked})
    argv = (
        "sweep", "--pair", tiny_pair(tmp_path), *BUNDLED, "-w", "json_extract", "--prompts", "2",
        "--warmup", "0", "--guided", "both", "--json", "--out", str(tmp_path / "out"),
    )  # fmt: skip
    assert cli.run(argv, Setup(start, 0.01, UNLIMITED)) == 0, capsys.readouterr().err
    shown = json.loads(capsys.readouterr().out)["points"]
    assert [one["guided"] for one in shown] == [False, True]
    # One pair of engines serves both.
    assert len(start.logs) == 2
    for engine in start.engines.values():
        formats = [body.get("response_format") for body in engine.requests]
        half = len(formats) // 2
        assert formats[:half] == [None] * half
        schemas = [one["json_schema"]["schema"] for one in formats[half:] if one]
        assert len(schemas) == half > 0
        assert all(one in [example.schema for example in asked] for one in schemas)


def test_guided_alone_is_one_half(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert sweep(out, tiny_pair(tmp_path), "--guided") == 0
    (cell,) = json.loads((out / "sweep.json").read_text())["cells"]
    assert cell["settings"]["guided"] is True


def test_a_client_that_was_the_limit_has_its_exit_code_here_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["sweep", "--pair", tiny_pair(tmp_path), "-w", "sql", "--prompts", "2", "--warmup", "0"]
    setup = Setup(InProcess(ANSWERS), 0.01, ClientLimits(cpu=0.0))
    assert cli.run([*argv, "--out", str(tmp_path / "out")], setup) == 7
    out, err = capsys.readouterr()
    assert "invalid" in out
    assert "in 1 of 1 rows" in err


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--rate", "0"), "--rate 0 sends nothing"),
        (("--open-loop-only",), "leaves nothing without --rate"),
        (("--plain-url", "http://a"), "give both"),
        (("--plain-url", "http://a", "--speculative-url", "http://b", "-k", "2"), "not be used"),
        (("-k", "99"), "--num-draft-tokens 99"),
        (("--concurrency", "64", "--prompts", "64"), "max_num_seqs"),
        (("--temperature", "x"), "no list of numbers"),
    ],
)
def test_what_cannot_be_swept_is_refused_before_anything_starts(
    more: tuple[str, ...], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert sweep(out, tiny_pair(tmp_path), *more) == 2
    assert words in capsys.readouterr().err
    assert not out.exists()


def cell(k: int) -> Cell:
    return Cell(draft="d", k=k, settings=result("sql").settings, file="x.json")


def test_break_even_is_what_the_step_costs() -> None:
    (point,) = points([(cell(3), result("sql"))])
    # 60 ms a step of four tokens against 40 ms a token.
    assert (point.break_even, point.tokens_per_step) == (1.5, 4)
    assert point.accounted == pytest.approx(point.speedup.value) == pytest.approx(4 / 1.5)
    assert point.verdict == "faster"
    assert point.modelled is None
    assert "1.50" in render_points([point])


def test_step_costs_are_a_line_over_k() -> None:
    (point,) = points([(cell(3), result("sql"))])

    found = [replace(point, k=k, step_ms=44.0 + 3 * k) for k in (1, 3, 5)]
    (cost,) = step_costs(found)
    assert (cost.base_ms, cost.verify_ms, cost.per_draft_ms) == pytest.approx((40, 44, 3))
    assert list(step_costs(found[:1])) == []
    stalled = [replace(one, verdict="invalid") for one in found]
    assert list(step_costs(stalled)) == []


def test_a_pair_for_trainium_is_set_beside_the_model() -> None:
    pair = load_pair("qwen3-32b-tp32").model_dump(mode="json")
    whole = result("sql")
    named = whole.provenance.model_copy(update={"pair": pair})
    found = whole.model_copy(update={"provenance": named})
    (row,) = summarise(found).rows
    beside = modelled(found, row)
    assert beside is not None
    assert beside.speedup == pytest.approx(4 * beside.plain_step_ms / beside.step_ms)
    assert 5 < beside.plain_step_ms < 30
    (point,) = points([(cell(7), found)])
    assert "modelled speedup" in render_points([point])

"""From stored events to what is printed. Ground truth: 40 ms a token against 60 ms per 4 tokens."""

import json
from pathlib import Path

import pytest

from bench.cli import run
from bench.record import Result
from bench.report import render_report
from bench.summary import summarise
from tests.bench.results import result

GOLDEN = Path(__file__).parent / "golden_report.txt"


def test_the_printed_table() -> None:
    found = result("sql", "json_extract", "hex")
    assert render_report(found, summarise(found)) == GOLDEN.read_text()


def test_rows_say_what_was_built_into_them() -> None:
    summary = summarise(result("sql", "json_extract", "hex"))
    sql, extract, control = summary.rows
    assert sql.speedup.value == pytest.approx(40 / 15)
    assert (sql.verdict, control.verdict) == ("faster", "slower")
    assert control.speedup.value == pytest.approx(40 / 60)
    assert sql.base.tokens_per_chunk == 1
    assert sql.other.tokens_per_chunk == 4
    assert sql.acceptance is not None
    assert sql.acceptance.length == 4
    assert sql.acceptance.per_position == (1, 1, 1)
    assert (extract.identity.same, extract.identity.compared) == (6, 6)
    (pool,) = summary.pools
    assert pool.workloads == 2
    assert pool.speedup.value == pytest.approx(40 / 15)
    assert pool.verdict == "faster"


def test_a_divergence_is_a_fault_with_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = reprinted(result("sql", "json_extract", wrong=1), tmp_path, capsys)
    assert code == 5
    assert "prompt 1 repeat 0 differs first at token 5: plain 5, speculative 99 (a fault)" in out
    assert "not the plain output on sql, json_extract" in err


def test_a_row_without_usable_pairs_is_a_gap_and_takes_the_pool_with_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = result("sql", "json_extract", broken="sql")
    assert summarise(found).pools == ()
    code, out, err = reprinted(found, tmp_path, capsys)
    assert code == 5
    assert "sql at concurrency 1: not shown, 12 of 12 requests unusable, first: 9 tokens" in out
    assert "structured, all" not in out
    assert "1 rows could not be shown, first sql" in err


def test_a_result_survives_the_file_and_prints_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = result("sql", "json_extract", "hex")
    assert Result.model_validate_json(found.model_dump_json()) == found
    picture = tmp_path / "plot.png"
    code, out, err = reprinted(found, tmp_path, capsys, "--plot", str(picture))
    assert (code, out, err) == (0, GOLDEN.read_text(), "")
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_busy_machine_is_named() -> None:
    found = result("sql")
    busy = found.provenance.model_copy(update={"others_cpu": 0.6})
    found = found.model_copy(update={"provenance": busy})
    assert "BUSY MACHINE: other processes took 0.60 of 2 cores" in render_report(
        found, summarise(found)
    )


def test_what_was_held_up_is_named_and_the_worst_lag_once() -> None:
    found = result("sql", "json_extract")
    first, second, *rest = found.requests
    assert (first.arm, first.workload) == ("plain", "sql")
    together = [chunk.model_copy(update={"read": 1}) for chunk in first.reply.chunks[1:4]]
    events = (first.reply.chunks[0], *together, *first.reply.chunks[4:])
    held = first.model_copy(
        update={
            "reply": first.reply.model_copy(update={"events": events}),
            "client_lag_ms": 300.0,
        }
    )
    late = second.model_copy(update={"client_lag_ms": 30.0})
    found = found.model_copy(update={"requests": (held, late, *rest)})
    told = render_report(found, summarise(found))
    assert "sql at concurrency 1, plain: 2 of 78 chunks came together with others" in told
    assert "more than 20 ms at least once in 2 of 4 sides of a row" in told
    assert "at worst for 300 ms (sql at concurrency 1, plain)" in told
    assert told.count("stood still") == 1


def test_faster_is_asked_of_structured_workloads_where_there_are_any(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for names, code in (
        (("sql", "json_extract"), 0),
        (("sql", "hex"), 0),
        (("sql", "json_extract", "hex"), 0),
        (("hex",), 6),
    ):
        assert reprinted(result(*names), tmp_path, capsys, "--require-faster")[0] == code, names


def test_no_harm_is_asked_of_controls(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for found, code, words in (
        (result("sql", "hex"), 9, "hex 0.67x [0.67, 0.67] not inside [0.95, 1.05]"),
        (as_aa(result("sql", "hex"), "speedup"), 0, ""),
        (result("sql"), 2, "looks at controls"),
    ):
        got, _, err = reprinted(found, tmp_path, capsys, "--require-no-harm")
        assert (got, words in err) == (code, True)


def test_an_engine_that_differs_from_itself_has_its_own_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    same = as_aa(result("sql"), "aa")
    assert reprinted(same, tmp_path, capsys)[0] == 0
    different = result("sql").model_copy(update={"kind": "aa"})
    code, _, err = reprinted(different, tmp_path, capsys)
    assert code == 8
    assert "1 of 1 rows call the plain engine different from itself" in err


def as_aa(found: Result, kind: str) -> Result:
    """The plain arm's times on both sides."""
    plain = {
        (one.workload, one.prompt, one.repeat): one.reply
        for one in found.requests
        if one.arm == "plain"
    }
    requests = tuple(
        one.model_copy(
            update={
                "reply": plain[one.workload, one.prompt, one.repeat].model_copy(
                    update={"speculation": one.reply.speculation}
                )
            }
        )
        for one in found.requests
    )
    return found.model_copy(update={"requests": requests, "kind": kind})


def test_the_rows_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = reprinted(result("sql", "json_extract"), tmp_path, capsys, "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert told.keys() == {"kind", "stopped", "settings", "provenance", "rows", "gaps", "pools"}
    sql = told["rows"][0]
    assert sql["speedup"]["value"] == pytest.approx(40 / 15)
    assert sql["identity"] == {"compared": 6, "divergences": []}
    assert not {"tpot", "total"} & sql.keys()
    assert told["pools"][0]["verdict"] == "faster"


def test_a_run_that_ended_early_says_so_and_shows_whole_rows_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = result("sql", "json_extract")
    cut = whole.model_copy(update={"requests": whole.requests[:-1], "stopped": "It died."})
    code, out, _ = reprinted(cut, tmp_path, capsys)
    assert code == 5
    assert "PARTIAL: the run ended early, after 23 of 24 requests: It died." in out
    assert "json_extract at concurrency 1: not shown, the run ended after 11 of 12" in out
    assert [row.workload for row in summarise(cut).rows] == ["sql"]
    assert "structured, all" not in out


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{}", "Field required"),
        ("not json", "Invalid JSON"),
        ('{"schema_version": 1}', "measure again"),
    ],
)
def test_a_file_that_is_no_result_is_refused_in_one_line(
    text: str, named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "r.json"
    path.write_text(text)
    assert run(["report", str(path)]) == 2
    err = capsys.readouterr().err
    assert named in err
    assert err.count("\n") == 1


def reprinted(
    found: Result, folder: Path, capsys: pytest.CaptureFixture[str], *options: str
) -> tuple[int, str, str]:
    path = folder / "result.json"
    path.write_text(found.model_dump_json())
    code = run(["report", str(path), *options])
    out, err = capsys.readouterr()
    return code, out, err

"""The rule by which a run is no measurement of the engine."""

from pathlib import Path

import pytest

from bench.cli import run
from bench.client_limit import CLIENT_LIMITS, limited
from bench.settings import Arrivals
from bench.summary import summarise
from tests.bench.results import result

FOUND = result("sql", "json_extract")


def test_a_quiet_client_is_no_limit() -> None:
    assert list(limited(FOUND.blocks, FOUND.requests, None)) == []
    assert summarise(FOUND).invalid == ()


@pytest.mark.parametrize(
    ("update", "words"),
    [
        ({"client_cpu": CLIENT_LIMITS.cpu}, "used 80% of a core"),
        ({"client_stalled": CLIENT_LIMITS.stalled}, "could stamp nothing in 20% of the time"),
    ],
)
def test_a_busy_or_stalled_client_is(update: dict[str, float], words: str) -> None:
    blocks = [block.model_copy(update=update) for block in FOUND.blocks]
    (reason,) = limited(blocks, FOUND.requests, None)
    assert words in reason


def test_requests_that_left_late_are() -> None:
    late = [one.model_copy(update={"late_ms": 25.0}) for one in FOUND.requests]
    assert list(limited(FOUND.blocks, late, Arrivals(rate=3))) == []
    (reason,) = limited(FOUND.blocks, late, Arrivals(rate=5))
    assert "left 25.0 ms late or more, at a mean gap of 200.0 ms" in reason


def test_the_row_is_invalid_and_the_exit_code_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = tuple(
        block.model_copy(update={"client_cpu": 0.95}) if block.workload == "sql" else block
        for block in FOUND.blocks
    )
    found = FOUND.model_copy(update={"blocks": blocks})
    summary = summarise(found)
    assert [row.verdict for row in summary.rows] == ["invalid", "faster"]
    assert summary.pools[0].verdict == "invalid"
    path = tmp_path / "r.json"
    path.write_text(found.model_dump_json())
    assert run(["report", str(path)]) == 7
    out, err = capsys.readouterr()
    assert "INVALID: sql at concurrency 1: the client was the limit; plain: the bench" in out
    assert "in 1 of 2 rows, first sql" in err

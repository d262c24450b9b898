"""`bench auto live` with fakes for engines; the gateway is the real one."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from bench.auto.live import Heard, Live, LiveSettings, Mode, questions
from bench.auto.live_report import live_json, live_rows, render_live
from bench.cli import run
from bench.setup import Setup
from bench.strict_json import dumps
from bench.workloads import choose
from server.usage import Pool
from tests.bench.processes import InProcess
from tests.bench.results import result

SETTINGS = LiveSettings(learn=4, requests=3, open_share=0.5, max_tokens=64, seed=2)
ANSWERS = {
    one.example.messages[-1]["content"]: one.example.answer
    for one in questions(choose(()), SETTINGS)
}


def test_a_run_learns_then_sends_each_request_in_every_mode(
    capsys: pytest.CaptureFixture[str],
) -> None:
    engines = InProcess(ANSWERS)
    options = ["--learn", "4", "--requests", "3", "--seed", "2", "--max-tokens", "64", "--json"]
    code = run(["auto", "live", *options], Setup(start=engines, watch_s=0.01))
    out, err = capsys.readouterr()
    assert code == 0, err
    found = json.loads(out)
    modes = Counter((one["learning"], one["mode"]) for one in found["heard"])
    assert modes == {(True, "auto"): 4, (False, "auto"): 3, (False, "on"): 3, (False, "off"): 3}
    for one in found["heard"]:
        assert (
            one["mode"] == "auto"
            or one["pool"] == {"on": "speculative", "off": "plain"}[one["mode"]]
        )
        assert one["tokens"] == 9
    served = Counter(one["pool"] for one in found["heard"])
    assert {arm: len(engine.requests) for arm, engine in engines.engines.items()} == served
    assert found["learnt"]["requests"] == 7
    keyed = {f"text@{one.workload.name}" for one in questions(choose(()), SETTINGS)}
    assert keyed & {one["class"] for one in found["learnt"]["classes"]}
    assert found["rows"][0]["workload"] == "all"


def test_an_engine_that_fails_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    broken = InProcess(ANSWERS, refuse_after=0)
    options = ["--learn", "0", "--requests", "1", "--seed", "2"]
    assert run(["auto", "live", *options], Setup(start=broken, watch_s=0.01)) == 4
    assert "The gateway did not answer a request of" in capsys.readouterr().err


def test_no_prompt_comes_twice_and_open_ones_are_as_many_as_asked() -> None:
    settings = SETTINGS.model_copy(update={"learn": 100, "requests": 100, "open_share": 0.25})
    asked = list(questions(choose(()), settings))
    assert [one.number for one in asked] == list(range(200))
    assert 30 <= sum(not one.workload.structured for one in asked) <= 70
    structured = [one.example for one in asked if one.workload.structured]
    assert len({json.dumps(one.messages) for one in structured}) > 0.9 * len(structured)


def heard(number: int, workload: str, mode: Mode, pool: Pool, ms: float) -> Heard:
    return Heard(
        number=number,
        learning=number < 0,
        workload=workload,
        structured=True,
        mode=mode,
        pool=pool,
        total_ms=ms,
        tokens=10,
    )


def test_the_table_is_of_compared_requests_and_pairs_them() -> None:
    told = [heard(-1, "sql", "auto", "plain", 9999)]
    for number, slow in enumerate((1, 2, 4)):
        told += [
            heard(number, "sql", "auto", "speculative", 100 * slow),
            heard(number, "sql", "on", "speculative", 100 * slow),
            heard(number, "sql", "off", "plain", 400 * slow),
        ]
    live = Live(
        settings=SETTINGS, provenance=result("sql").provenance, heard=tuple(told), learnt={}
    )
    everything, sql = live_rows(live)
    assert (everything.workload, sql.workload, sql.requests) == ("all", "sql", 3)
    assert (sql.auto, sql.on, sql.off) == pytest.approx((700 / 30, 700 / 30, 2800 / 30))
    # The same requests on both sides: however they are drawn, their ratio is the same.
    ratio = sql.auto_over_off
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((0.25, 0.25, 0.25))
    assert sql.speculative_share == 1
    assert "sql" in render_live(live)
    assert "0.250 [0.250, 0.250]" in render_live(live)


def test_one_request_has_a_ratio_and_no_interval() -> None:
    told = [heard(0, "sql", mode, "plain", 100) for mode in ("auto", "on", "off")]
    live = Live(
        settings=SETTINGS, provenance=result("sql").provenance, heard=tuple(told), learnt={}
    )
    assert "nan" not in render_live(live)
    (everything, _) = json.loads(dumps(live_json(live)))["rows"]
    assert everything["auto_over_on"] == {"value": 1, "low": None, "high": None}

"""The policy on recorded timings, and the instrument that replays them on made-up ones.

`timings.json` is the recording of one quiet machine; its provenance is in it.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from bench.auto.outcome import Outcome, Row, replay
from bench.auto.replay import Always, Mix, class_of, oracle, prompt_of
from bench.auto.report import render_outcomes
from bench.auto.timings import Asked, Timed, Timings, read_timings
from bench.cli import run
from server.speculation import TrafficClass

RECORDED = Path(__file__).parent / "timings.json"
LEVELS = ((1,), (4,), (1, 4))


@pytest.fixture(scope="module")
def recorded() -> Timings:
    return read_timings(RECORDED)


@pytest.fixture(scope="module", params=LEVELS, ids=str)
def outcome(request: pytest.FixtureRequest, recorded: Timings) -> Outcome:
    return replay(recorded, mix(request.param), streams=12, seed=7)


def mix(levels: tuple[int, ...] = (1,), requests: int = 600, one_key: bool = False) -> Mix:
    return Mix(requests, open_share=0.5, levels=levels, turn=100, one_key=one_key)


def row(outcome: Outcome, strategy: str) -> Row:
    return next(row for row in outcome.rows if row.strategy == strategy)


def test_auto_is_within_5_percent_of_the_oracle_learning_included(outcome: Outcome) -> None:
    auto = row(outcome, "auto")
    assert auto.over_oracle.value < 1.05
    assert auto.learnt_over_oracle.value < 1.02


def test_auto_is_better_than_either_pool_alone(outcome: Outcome) -> None:
    auto = row(outcome, "auto").whole.value
    assert auto < 0.95 * row(outcome, "all speculative").whole.value
    assert auto < 0.95 * row(outcome, "all plain").whole.value


def test_no_learnt_workload_is_2_percent_slower_than_all_plain(outcome: Outcome) -> None:
    assert {one.workload for one in outcome.workloads} >= {"hex", "prose", "json_extract", "sql"}
    for one in outcome.workloads:
        assert one.auto_over_plain.value < 1.02, one.workload


def test_one_class_of_all_text_is_within_5_percent_of_its_oracle_too(recorded: Timings) -> None:
    """Text that a draft can follow and text that it cannot, with nothing to tell them apart."""
    found = replay(recorded, mix(one_key=True), streams=12, seed=7)
    assert row(found, "auto").over_oracle.value < 1.05


def asked(workload: str, speculative_ms: float, plain_ms: float, structured: bool) -> Asked:
    def timed(each_ms: float) -> tuple[Timed, ...]:
        return (Timed(first_ms=each_ms, total_ms=10 * each_ms, tokens=10),)

    return Asked(
        workload=workload,
        structured=structured,
        path=TrafficClass.of("text", key_id=workload).path,
        prompt_tokens=0,
        times={"1": {"speculative": timed(speculative_ms), "plain": timed(plain_ms)}},
    )


MADE_UP = Timings(
    version=1,
    levels=(1,),
    provenance={"date": "never", "commit": "none", "cpu": "none", "cost_ratio": "Made up."},
    prompts=(
        asked("fits", 10, 40, structured=True),
        asked("fits", 10, 40, structured=True),
        asked("fails", 60, 30, structured=False),
        asked("fails", 20, 30, structured=False),
    ),
)


def test_every_strategy_pays_what_was_recorded_for_what_it_chose() -> None:
    found = replay(MADE_UP, mix(requests=100), streams=100, seed=1)
    assert row(found, "all plain").whole.value == pytest.approx(35, rel=0.03)
    assert row(found, "all speculative").whole.value == pytest.approx((10 + 40) / 2, rel=0.08)
    assert row(found, "oracle by class").whole.value == pytest.approx((10 + 30) / 2, rel=0.05)
    assert row(found, "oracle by prompt").whole.value == pytest.approx((10 + 25) / 2, rel=0.08)
    fails, fits = found.workloads
    assert (fails.workload, fits.workload) == ("fails", "fits")
    assert fails.plain == pytest.approx(30)
    assert fits.speculative == pytest.approx(10)
    assert fits.auto_over_plain.value == pytest.approx(0.25, abs=0.02)
    assert fits.speculative_share > 0.97


def test_an_oracle_knows_the_better_pool_of_each_class_or_prompt() -> None:
    stream = mix(requests=200).stream(MADE_UP, random.Random(3))
    by_class = oracle(MADE_UP, mix(), class_of).serve(stream)
    by_prompt = oracle(MADE_UP, mix(), prompt_of).serve(stream)
    for one, exact in zip(by_class, by_prompt, strict=True):
        times = {pool: time.total_ms for pool, time in one.drawn.times.items()}
        assert one.pool == ("speculative" if one.drawn.asked.workload == "fits" else "plain")
        assert exact.time.total_ms == min(times.values())


def test_the_same_seed_gives_the_same_stream_and_the_same_outcome(recorded: Timings) -> None:
    one, same = (replay(recorded, mix(requests=100), streams=2, seed=5) for _ in range(2))
    assert one == same
    assert one != replay(recorded, mix(requests=100), streams=2, seed=6)


def test_levels_take_turns_and_the_share_of_open_requests_is_as_asked(recorded: Timings) -> None:
    stream = mix((1, 4)).stream(recorded, random.Random(0))
    assert [drawn.level for drawn in stream[::100]] == [1, 4, 1, 4, 1, 4]
    open_ended = sum(not drawn.asked.structured for drawn in stream) / len(stream)
    assert open_ended == pytest.approx(0.5, abs=0.08)
    assert {one.time for one in Always("plain").serve(stream)} <= {
        time
        for asked in recorded.prompts
        for pools in asked.times.values()
        for time in pools["plain"]
    }


def test_the_command_prints_tables_draws_and_gives_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "timings.json"
    path.write_text(MADE_UP.model_dump_json())
    few = ["--streams", "2", "--requests", "100"]
    plot = tmp_path / "p.png"
    assert run(["auto", "replay", str(path), *few, "--plot", str(plot)]) == 0
    out = capsys.readouterr().out
    assert out == render_outcomes(MADE_UP, [replay(MADE_UP, mix(requests=100), 2, 0)])
    assert "fails (open)" in out
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert run(["auto", "replay", str(path), *few, "--json", "--one-key"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["provenance"]["date"] == "never"
    (only,) = found["replays"]
    assert only["mix"]["one_key"] is True
    assert {one["strategy"] for one in only["rows"]} >= {"auto", "oracle by class"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["auto", "replay", "{there}", "--concurrency", "2"], "choose from 1"),
        (["auto", "replay", "{tmp}/none.json"], "none.json: No such file"),
        (["auto", "replay", "{broken}"], "version: Field required"),
        (["auto", "timings", "{broken}", "{tmp}/out.json"], "is no bench result"),
    ],
)
def test_what_cannot_be_replayed_is_said_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    places = {"tmp": tmp_path, "there": tmp_path / "there.json", "broken": tmp_path / "broken.json"}
    places["there"].write_text(MADE_UP.model_dump_json())
    places["broken"].write_text("{}")
    assert run([part.format(**places) for part in arguments]) == 2
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1

"""Each program's own raw times, by our form of its definition, give what it printed."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from bench.crosscheck.definitions import Sent
from bench.crosscheck.programs import SHOWN, Program, guidellm, vllm_serve
from bench.crosscheck.rows import pooled
from bench.errors import UnusableError
from tests.bench.crosscheck.recorded import GUIDELLM, LENGTHS, SERVE, guided, job, load, served

BOTH = [(vllm_serve(), SERVE, served()), (guidellm(), GUIDELLM, guided())]
NAMES = ["vllm", "guidellm"]


@pytest.mark.parametrize(("program", "written", "block"), BOTH, ids=NAMES)
def test_every_time_follows_from_the_program_s_own_stamps(
    program: Program, written: Path, block: Sequence[Sent], tmp_path: Path
) -> None:
    told = job(tmp_path)
    told.out.write_text(written.read_text())
    printed = program.printed(told)
    ours = {
        f"{one.name} {shown}": pooled(one.samples, program.pool, shown)(block)
        for one in program.series
        for shown in SHOWN
    } | {one.name: one.figure(block) for one in program.of_block if one.count}
    times = {name: value for name, value in printed.items() if name in ours}
    assert times == pytest.approx(ours, rel=1e-5)
    assert printed["output tokens"] == sum(LENGTHS)
    assert set(printed) - set(ours) == {one.name for one in program.of_block if not one.count}


def test_throughput_is_over_the_whole_block() -> None:
    (figure,) = [one.figure for one in vllm_serve().of_block if not one.count]
    # Theirs counts the time until its loop has noticed the last stream's end as well.
    assert load(SERVE)["output_throughput"] == pytest.approx(figure(served()), rel=0.01)


@pytest.mark.parametrize(("program", "written", "block"), BOTH, ids=NAMES)
def test_a_request_that_is_missing_is_an_error(
    program: Program, written: Path, block: Sequence[Sent], tmp_path: Path
) -> None:
    told = job(tmp_path, prompts=4)
    told.out.write_text(written.read_text())
    with pytest.raises(UnusableError, match="counts 3 of 4 requests"):
        program.printed(told)


@pytest.mark.parametrize("program", [vllm_serve(), guidellm()], ids=NAMES)
@pytest.mark.parametrize("text", [None, "", "{}", '{"benchmarks": []}', '{"completed": 3}'])
def test_another_version_s_output_is_one_sentence(
    program: Program, text: str | None, tmp_path: Path
) -> None:
    told = job(tmp_path)
    if text is not None:
        told.out.write_text(text)
    with pytest.raises(UnusableError, match=f"What {program.name} wrote cannot be read"):
        program.printed(told)


def test_both_are_told_the_same_work(tmp_path: Path) -> None:
    told = job(tmp_path)
    serve = " ".join(vllm_serve().command(told))
    assert "--sharegpt-output-len 96 --num-prompts 3 --max-concurrency 1 --temperature 0" in serve
    asked = [one["conversations"][0]["value"] for one in json.loads(told.data.read_text())]
    assert asked == ["a", "b", "c"]
    other = " ".join(guidellm(Path("/x/guidellm")).command(told))
    assert other.startswith("/x/guidellm run ")
    assert "max_tokens=96,extras.body.temperature=0 --profile kind=synchronous" in other
    assert "kind=max_requests,count=5" in other
    lines = told.data.with_suffix(".jsonl").read_text().splitlines()
    assert [json.loads(line)["prompt"] for line in lines] == ["a", "a", "a", "b", "c"]

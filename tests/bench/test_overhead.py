"""What the gateway adds. Ground truth: a second engine that is late by what its script says."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.cli import run
from bench.client import Call, Target, send
from bench.overhead import Overhead, overheads
from bench.record import SCHEMA_VERSION, Arm, Measured, Prompt, Reply, Result
from bench.reply import read_reply
from bench.setup import Setup
from neuron.local.corpus import held_out
from tests.bench.fake_engine import MODEL, FakeClock, Frame, Steps, serving
from tests.bench.processes import BUNDLED, InProcess, tiny_pair
from tests.bench.results import measured, result

STEPS = 8
ANSWER = "x" * (1 + STEPS)


@dataclass(frozen=True)
class Late:
    """Every chunk `d_s` later than the one it stands for, and each gap longer by `grows_s`."""

    d_s: float = 0.0
    grows_s: float = 0.0

    def __call__(self, answer: str) -> list[Frame]:
        return Steps(1, first_s=0.1 + self.d_s, step_s=0.04 + self.grows_s)(answer)


async def reply(late: Late, answer: str = ANSWER) -> Reply:
    clock = FakeClock()
    engine = clock.engine(late)
    engine.answers = {"\x01": answer}
    async with serving(engine) as url:
        return read_reply(
            await send(Target("direct", url, MODEL), Call((1,), 50, "s"), clock=clock)
        )


async def compared(gateway: Late, answer: str = ANSWER) -> list[Overhead]:
    """Two prompts, two repeats, all the same."""
    arms: dict[Arm, Reply] = {
        "direct": await reply(Late()),
        "gateway": await reply(gateway, answer),
    }
    requests: list[Measured] = [
        measured("sql", prompt, repeat, arm, one)
        for prompt in range(2)
        for repeat in range(2)
        for arm, one in arms.items()
    ]
    like = result("sql")
    return overheads(
        Result(
            schema_version=SCHEMA_VERSION,
            kind="overhead",
            stopped=None,
            base="direct",
            other="gateway",
            settings=like.settings.model_copy(update={"prompts": 2}),
            provenance=like.provenance,
            prompts=tuple[Prompt, ...](),
            requests=tuple(requests),
        )
    )


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("gateway", "first", "last", "gap"),
    [
        (Late(), 0, 0, 0),
        (Late(d_s=0.003), 3, 3, 0),
        (Late(grows_s=0.002), 0, 2 * STEPS, 2),
        (Late(d_s=0.05, grows_s=0.001), 50, 50 + STEPS, 1),
    ],
)
async def test_lateness_is_what_was_built_in(
    gateway: Late, first: float, last: float, gap: float
) -> None:
    (row,) = await compared(gateway)
    for estimate, truth in ((row.first, first), (row.last, last), (row.gap, gap)):
        assert (estimate.value, estimate.low, estimate.high) == pytest.approx((truth,) * 3)
    assert (row.pairs, row.same_tokens) == (4, True)


@pytest.mark.anyio
async def test_other_tokens_are_no_pair() -> None:
    assert await compared(Late(), "y" * len(ANSWER)) == []


def test_the_whole_command_with_the_real_gateway(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = {one.messages[-1]["content"]: one.answer for one in held_out("sql", 2)}
    argv = ["overhead", "--pair", tiny_pair(tmp_path), *BUNDLED, "-w", "sql", "--prompts", "2"]
    out = tmp_path / "out"
    code = run([*argv, "--warmup", "1", "--out", str(out)], Setup(InProcess(answers), 0.01))
    told, err = capsys.readouterr()
    assert code == 0, err
    (path,) = out.glob("overhead-*.json")
    stored = Result.model_validate_json(path.read_bytes())
    assert {one.arm for one in stored.requests} == {"direct", "gateway"}
    (row,) = overheads(stored)
    assert (row.pairs, row.same_tokens) == (4, True)
    assert "last chunk + ms [95 %]" in told
    assert run(["report", str(path)]) == 0
    assert capsys.readouterr().out == told
    assert run(["report", str(path), "--json"]) == 0
    assert '"gap": {"value": ' in capsys.readouterr().out
    for option in (["--require-faster"], ["--plot", str(tmp_path / "p.png")], ["--other-tools"]):
        assert run(["report", str(path), *option]) == 2
        assert f"has no speedup: leave out {option[0]}." in capsys.readouterr().err

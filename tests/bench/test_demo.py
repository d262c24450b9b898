"""`make demo` with fakes for engines; the gateway is the real one."""

import sys

import pytest

from bench.demo import SETTINGS, WORKLOADS, demo
from bench.errors import UnusableError
from bench.progress import teller
from neuron.local.corpus import held_out
from tests.bench.fake_engine import FakeEngine, Steps, serving
from tests.bench.processes import InProcess

pytestmark = pytest.mark.anyio
ANSWERS = {
    one.messages[-1]["content"]: one.answer
    for name in WORKLOADS
    for one in held_out(name, SETTINGS.prompts, SETTINGS.seed)
}


async def shown(start: InProcess) -> None:
    with teller() as tell:
        async with serving(FakeEngine(Steps(), ANSWERS, model="local")) as url:
            gateway = (sys.executable, "-m", "server", "--engine-url", url)
            await demo(tell, gateway, start, 0.01)


async def test_an_answer_and_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    await shown(InProcess(ANSWERS))
    out = capsys.readouterr().out
    assert (
        ANSWERS[held_out("json_extract", 1, seed=SETTINGS.seed)[0].messages[-1]["content"]] in out
    )
    assert "9 tokens; of the draft's proposals 7 accepted, 7 rejected." in out
    assert "structured, all" in out
    assert "A taste with 3 prompts of 4 workloads" in out


@pytest.mark.parametrize(
    ("speculative", "words"),
    [
        (Steps(8, speculative=True, wrong_at=3), "not the plain output"),
        (Steps(8, step_s=0.001), "Not every workload could be measured"),
    ],
)
async def test_a_table_that_is_worth_nothing_fails(speculative: Steps, words: str) -> None:
    with pytest.raises(UnusableError, match=words):
        await shown(InProcess(ANSWERS, speculative=speculative))

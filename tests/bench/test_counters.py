"""An engine's counters are used only where they counted our requests and no others."""

import pytest

from bench.acceptance import counted
from bench.client import Target
from bench.counters import growth, parse, scrape
from bench.record import Counters, Measured
from tests.bench.fake_engine import MODEL, FakeEngine, Steps, Tally, serving
from tests.bench.results import result

FOUND = result("sql")


def test_counters_that_agree_give_the_acceptance_of_the_requests() -> None:
    found = counted(FOUND.blocks, FOUND.requests)
    assert (found.blocks, found.proved, found.refuted) == (4, 4, None)
    assert found.acceptance is not None
    assert found.acceptance.length == 4
    assert found.acceptance.per_position == (1, 1, 1)
    assert found.acceptance.rate == 1


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("requests", "counted 4 requests where ours had 3"),
        ("prompt_tokens", "counted 10 prompt tokens where ours had 9"),
        ("tokens", "tokens where ours had"),
        ("steps", "steps where ours had"),
        ("drafted", "drafts where ours had"),
        ("accepted", "accepted drafts where ours had"),
    ],
)
def test_one_request_of_somebody_else_is_enough_against_them(field: str, words: str) -> None:
    blocks = list(FOUND.blocks)
    at = next(index for index, block in enumerate(blocks) if block.arm == "speculative")
    seen = blocks[at].counters
    assert seen is not None
    more = seen.model_copy(update={field: getattr(seen, field) + 1})
    blocks[at] = blocks[at].model_copy(update={"counters": more})
    found = counted(blocks, FOUND.requests)
    assert words in str(found.refuted)
    assert (found.proved, found.acceptance) == (3, None)


def test_a_server_that_shows_none_is_said_to() -> None:
    bare = [block.model_copy(update={"counters": None}) for block in FOUND.blocks]
    assert "no counters" in str(counted(bare, FOUND.requests).refuted)
    assert counted([], list[Measured]()).refuted == "none were read"


def test_labels_are_summed_and_other_programs_are_no_engine() -> None:
    text = Tally(requests=2, tokens=9, prompt_tokens=4, steps=3, accepted=[3, 1]).text()
    one = parse(text)
    two = parse(text + text.replace('engine="0"', 'engine="1"').replace("{pos", '{engine="1",pos'))
    assert one == Counters(
        requests=2, prompt_tokens=4, tokens=9, steps=3, drafted=0, accepted=4,
        accepted_per_position=(3, 1),
    )  # fmt: skip
    assert two is not None
    assert (two.tokens, two.accepted_per_position) == (18, (6, 2))
    assert parse("specserve_requests_total 3\n") is None


@pytest.mark.anyio
async def test_a_counter_that_comes_a_moment_late_is_waited_for() -> None:
    engine = FakeEngine(Steps())
    async with serving(engine) as url:
        target = Target("plain", url, MODEL)
        before = await scrape(target)
        assert before is not None
        engine.tally.requests, engine.tally.tokens = 1, 5
        assert await growth(target, before, 5) == Counters(
            requests=1, prompt_tokens=0, tokens=5, steps=0, drafted=0, accepted=0,
            accepted_per_position=(0,) * 7,
        )  # fmt: skip
        never = await growth(target, before, 9)
        assert never is not None
        assert never.tokens == 5


@pytest.mark.anyio
async def test_nobody_there_has_no_counters() -> None:
    assert await scrape(Target("plain", "http://127.0.0.1:9", MODEL)) is None

"""Methods in the place of vLLM's, on stand-ins for vLLM's."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuron.plugin.acceptance import Acceptance, speculated
from neuron.plugin.answers import (
    Watched,
    streamed_chat,
    streamed_completion,
    told_in,
    whole_chat,
    whole_completion,
    with_acceptance,
)
from neuron.plugin.replaced import Method, Replacement, replace_all, takes

pytestmark = pytest.mark.anyio


class Output:
    acceptance: Acceptance


class Asked:
    def __init__(self, n: int | None) -> None:
        self.n = n


class Answer:
    choices: tuple[str, ...] = ("a",)
    metrics: object = None


def accepted(*steps: tuple[int, int]) -> Acceptance:
    acceptance = Acceptance()
    for step in steps:
        acceptance.add(speculated(*step))
    return acceptance


def output(*steps: tuple[int, int]) -> Output:
    made = Output()
    made.acceptance = accepted(*steps)
    return made


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9))))
def test_sums_are_those_of_the_steps(steps: list[tuple[int, int]]) -> None:
    assert accepted(*steps).metrics() == {
        "speculative_decoding": {
            "num_spec_steps": len(steps),
            "num_draft_tokens": sum(drafted for drafted, _ in steps),
            "num_accepted_draft_tokens": sum(kept for _, kept in steps),
            "per_step_drafted": [drafted for drafted, _ in steps],
            "per_step_accepted": [kept for _, kept in steps],
        }
    }


@given(st.text(), st.booleans())
def test_only_the_chunk_with_the_usage_is_changed(text: str, last: bool) -> None:
    chunk = {"choices": [] if last else [{"text": text + '"choices":[]'}], "note": text}
    event = f"data: {json.dumps(chunk, separators=(',', ':'))}\n\n"
    said = told_in(event, output((5, 3)))
    if not last:
        assert said == event
        return
    assert said.startswith("data: ")
    assert said.endswith("\n\n")
    assert json.loads(said[6:]) == {**chunk, "metrics": accepted((5, 3)).metrics()}


def test_nothing_known_changes_nothing() -> None:
    event = 'data: {"choices":[],"usage":{}}\n\n'
    assert told_in(event, None) == told_in(event, object()) == event


def test_counts_are_taken_out_where_an_output_is_made() -> None:
    class State:
        pass

    seen = []

    def original(state: object, *arguments: object) -> Output | None:
        seen.append(arguments)
        return Output() if arguments[2] == "stop" else None

    make, state = with_acceptance(original), State()
    assert make(state, [1], None, None, None, speculated(5, 2), "experts") is None
    assert make(state, [2], None, None, None) is None
    last = make(state, [3], None, "stop", None, speculated(4, 4), None)
    assert last.acceptance.metrics() == accepted((5, 2), (4, 4)).metrics()
    assert seen[0] == ([1], None, None, None, None, "experts")
    assert [arguments[4] for arguments in seen] == [None, None, None]
    other = make(State(), [1], None, "stop", None, None, None)
    assert other.acceptance.metrics() == accepted().metrics()


async def outputs(*items: object) -> AsyncIterator[object]:
    for item in items:
        yield item


@pytest.mark.parametrize(("n", "tells"), [(None, True), (1, True), (2, False)])
async def test_a_whole_answer_of_one_choice(n: int | None, tells: bool) -> None:
    async def original(serving: object, request: object, items: AsyncIterator[object]) -> Answer:
        assert len([item async for item in items]) == 2
        return Answer()

    answer = await whole_chat(original)(None, Asked(n), outputs(output(), output((5, 1))))
    assert answer.metrics == (accepted((5, 1)).metrics() if tells else None)


@pytest.mark.parametrize(
    ("n", "prompts", "tells"), [(None, 1, True), (1, 1, True), (2, 1, False), (1, 2, False)]
)
async def test_a_completion_of_one_prompt_and_one_choice(
    n: int | None, prompts: int, tells: bool
) -> None:
    def whole(serving: object, outputs: object, request: object) -> Answer:
        return Answer()

    async def stream(
        serving: object,
        request: object,
        prompts: object,
        items: AsyncIterator[object],
        *,
        num_prompts: int,
    ) -> AsyncIterator[str]:
        async for _ in items:
            yield 'data: {"choices":[{}]}\n\n'
        yield 'data: {"choices":[]}\n\n'

    said = accepted((5, 1)).metrics() if tells else None
    made = [output((5, 1))] * prompts
    assert whole_completion(whole)(None, made, Asked(n)).metrics == said
    events = [
        json.loads(event.removeprefix("data: "))
        async for event in streamed_completion(stream)(
            None, Asked(n), [[1]] * prompts, outputs(*enumerate(made)), num_prompts=prompts
        )
    ]
    assert [event.get("metrics") for event in events] == [*[None] * prompts, said]


@pytest.mark.parametrize(("n", "tells"), [(None, True), (2, False)])
async def test_a_streamed_chat_of_one_choice(n: int | None, tells: bool) -> None:
    async def stream(
        serving: object, request: object, items: AsyncIterator[object]
    ) -> AsyncIterator[str]:
        async for _ in items:
            yield 'data: {"choices":[{}]}\n\n'
        yield 'data: {"choices":[]}\n\n'

    events = [
        json.loads(event.removeprefix("data: "))
        async for event in streamed_chat(stream)(None, Asked(n), outputs(output((5, 1))))
    ]
    said = accepted((5, 1)).metrics() if tells else None
    assert [event.get("metrics") for event in events] == [None, said]


async def test_an_error_stays_an_error() -> None:
    async def original(serving: object, request: object, items: AsyncIterator[object]) -> object:
        async for _ in items:
            pass
        return "error"

    assert await whole_chat(original)(None, Asked(1), outputs(output((5, 1)))) == "error"


async def test_a_stream_that_is_left_closes_vllms() -> None:
    closed = []

    async def original(
        serving: object, request: object, items: AsyncIterator[object]
    ) -> AsyncIterator[str]:
        try:
            async for _ in items:
                yield "data: {}\n\n"
        finally:
            closed.append(True)

    events = streamed_chat(original)(None, Asked(1), outputs(output(), output()))
    assert await anext(events) == "data: {}\n\n"
    await events.aclose()
    assert closed == [True]


async def test_what_came_last_is_remembered() -> None:
    watched = Watched(outputs(1, 2))
    assert watched.last is None
    assert [item async for item in watched] == [1, 2]
    assert watched.last == 2


def shout(original: Method) -> Method:
    def said(self: object, word: str) -> str:
        return str(original(self, word)).upper()

    return said


@pytest.fixture
def theirs() -> Any:  # noqa: ANN401
    class Theirs:
        def say(self, word: str) -> str:
            return word

        def ask(self, question: str) -> str:
            return question

    return Theirs


def test_replacing_twice_is_replacing_once(theirs: Any) -> None:  # noqa: ANN401
    one = Replacement(theirs, "say", takes("self", "word"), shout)
    assert replace_all("shouting", [one])
    first = theirs.say
    assert replace_all("shouting", [one])
    assert theirs().say("no") == "NO"
    assert theirs.say.__wrapped__ is first.__wrapped__


def test_all_are_replaced_or_none(theirs: Any, caplog: pytest.LogCaptureFixture) -> None:  # noqa: ANN401
    known = Replacement(theirs, "say", takes("self", "word"), shout)
    unknown = Replacement(theirs, "ask", takes("self", "word"), shout)
    with caplog.at_level(logging.WARNING):
        assert not replace_all("shouting", [known, unknown])
    assert theirs().say("no") == "no"
    assert "shouting: off, because vLLM's Theirs.ask is not the one" in caplog.text

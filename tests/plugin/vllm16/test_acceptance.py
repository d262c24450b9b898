"""Acceptance in each answer, against vLLM's counters and what the model wrote down itself."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from typing import Any

import pytest

from neuron.local.corpus import held_out
from neuron.plugin.answers import tell_acceptance
from neuron.plugin.repairs import serve_what_the_host_verifies
from tests.plugin.models import prompts
from tests.plugin.vllm16 import recording
from tests.plugin.vllm16.engine import MODEL, Engine, K, body, client, complete_all

pytestmark = pytest.mark.anyio

USAGE = {"include_usage": True}


def told(document: Mapping[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = document["metrics"]["speculative_decoding"]
    return fields


def steps_of(fields: Mapping[str, Any]) -> list[tuple[int, int]]:
    return list(zip(fields["per_step_drafted"], fields["per_step_accepted"], strict=True))


def require_sums(fields: Mapping[str, Any]) -> None:
    steps = steps_of(fields)
    assert fields["num_spec_steps"] == len(steps)
    assert fields["num_draft_tokens"] == sum(drafted for drafted, _ in steps)
    assert fields["num_accepted_draft_tokens"] == sum(accepted for _, accepted in steps)


async def streamed(engine: Engine, path: str, request: Mapping[str, object]) -> list[Any]:
    asked = {**request, "stream": True, "stream_options": USAGE}
    async with client(engine) as upstream, upstream.stream("POST", path, json=asked) as response:
        lines = [line async for line in response.aiter_lines() if line]
    assert lines.pop() == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines]


async def test_each_answer_has_its_own_and_together_they_are_the_counters(engine: Engine) -> None:
    before, seen = engine.spec_decode(), recording.length(engine.calls)
    chosen = [*prompts(6, "json_extract"), *prompts(4, "prose"), *prompts(4, "hex")]
    answers = await complete_all(
        engine, [body(prompt, max_tokens=10 + 5 * i) for i, prompt in enumerate(chosen)], at_once=6
    )
    after = engine.spec_decode()

    spoken = [answer.speculation for answer in answers]
    for fields in spoken:
        assert fields is not None
        require_sums(fields)
    # As lists in no order: which request had which slot is the scheduler's affair.
    by_model = recording.by_request(engine.calls, seen)
    assert sorted(map(steps_of, filter(None, spoken))) == sorted(by_model)
    assert len({tuple(steps) for steps in by_model}) > len(chosen) // 2
    names = {
        "drafts": "num_spec_steps",
        "draft_tokens": "num_draft_tokens",
        "accepted_tokens": "num_accepted_draft_tokens",
    }
    for counter, field in names.items():
        total = sum(fields[field] for fields in filter(None, spoken))
        assert total == after[counter] - before[counter] > 0


async def test_what_the_host_decides_counts_alike(engine: Engine) -> None:
    before = engine.spec_decode()
    (prompt,) = prompts(1, "json_record")
    grammar = {"regex": r"\{\"n\": [0-9]{3}\}"}
    answers = await complete_all(
        engine,
        [
            body(prompt, temperature=1.0, seed=4),
            body(prompt, logprobs=1),
            body(prompt, structured_outputs=grammar),
        ],
    )
    after = engine.spec_decode()
    accepted = 0
    for answer in answers:
        assert answer.speculation is not None
        require_sums(answer.speculation)
        accepted += answer.speculation["num_accepted_draft_tokens"]
        # Prefill gives one token and each step one more than it accepts; an end cuts the last.
        emitted = 1 + sum(1 + each for each in answer.speculation["per_step_accepted"])
        assert emitted - K <= len(answer.tokens) <= emitted
    assert accepted == after["accepted_tokens"] - before["accepted_tokens"] > 0


async def test_a_stream_says_the_same_in_its_last_chunk(engine: Engine) -> None:
    (prompt,) = prompts(1, "sql")
    (whole,) = await complete_all(engine, [body(prompt)])
    *chunks, last = await streamed(engine, "/v1/completions", body(prompt))
    assert told(last) == whole.speculation
    assert last["choices"] == []
    assert not any("metrics" in chunk for chunk in chunks)


async def test_chats_say_it_too(engine: Engine) -> None:
    messages = [dict(message) for message in held_out("json_extract", 1)[0].messages]
    request = {"model": MODEL, "messages": messages, "temperature": 0.0, "max_tokens": 60}
    seen = recording.length(engine.calls)
    async with client(engine) as upstream:
        whole = (await upstream.post("/v1/chat/completions", json=request)).json()
    *chunks, last = await streamed(engine, "/v1/chat/completions", request)
    by_model = recording.by_request(engine.calls, seen)
    assert [steps_of(told(whole)), steps_of(told(last))] == by_model
    assert last["usage"]["completion_tokens"] == whole["usage"]["completion_tokens"]
    assert not any("metrics" in chunk for chunk in chunks)


async def test_an_answer_of_the_prefill_alone_has_no_steps(engine: Engine) -> None:
    (answer,) = await complete_all(engine, [body(prompts(1)[0], max_tokens=1)])
    assert answer.speculation is not None
    assert answer.speculation["num_spec_steps"] == 0
    assert steps_of(answer.speculation) == []


async def test_a_stop_string_ends_the_account_with_the_answer(engine: Engine) -> None:
    (prompt,) = prompts(1, "json_record")
    (free,) = await complete_all(engine, [body(prompt)])
    stop = free.text[len(free.text) // 2 :][:3]
    (stopped,) = await complete_all(engine, [body(prompt, stop=[stop])])
    assert stopped.stop_reason == stop
    assert free.speculation is not None
    assert stopped.speculation is not None
    # The engine may have begun one step more, which its counters have and no answer.
    begun = steps_of(stopped.speculation)
    assert 0 < len(begun) < free.speculation["num_spec_steps"]
    assert begun == steps_of(free.speculation)[: len(begun)]


@pytest.mark.parametrize("stream", [False, True])
async def test_several_choices_or_prompts_have_none(engine: Engine, stream: bool) -> None:
    first, second = prompts(2, "sql")
    several = [body(first, n=2, temperature=0.9), {**body(first), "prompt": [first, second]}]
    for request in several:
        if stream:
            documents = await streamed(engine, "/v1/completions", request)
        else:
            async with client(engine) as upstream:
                documents = [(await upstream.post("/v1/completions", json=request)).json()]
        assert documents[-1]["usage"]["completion_tokens"] > 0
        assert not any("metrics" in document for document in documents)


async def test_what_carried_it_is_not_seen(engine: Engine) -> None:
    (prompt,) = prompts(1, "sql")
    async with client(engine) as upstream:
        whole = (await upstream.post("/v1/completions", json=body(prompt))).json()
    chunks = await streamed(engine, "/v1/completions", body(prompt))
    assert not any(document.get("kv_transfer_params") for document in (whole, *chunks))


def test_the_methods_replaced_are_those_of_this_vllm() -> None:
    # In this process too, where nothing is served.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert tell_acceptance()
        assert serve_what_the_host_verifies()

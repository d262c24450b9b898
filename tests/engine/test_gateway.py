"""The gateway before the real engine, through the official client."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import openai
import pytest

from neuron.launch import Endpoint, render
from neuron.local.corpus import Example, held_out
from neuron.pair import Pair
from server.app import create_app
from server.engine_status import Engine, EngineStatus, EngineView
from server.engines import EngineProcess, engine_client
from server.listener import bind, make_listener
from server.metrics import Metrics
from server.pools.fleet import Fleet
from server.supervisor import RestartPolicy, Supervisor
from server.upstream import Upstream
from server.upstream_http import http_upstream
from server.usage import Pool
from tests.engine.conftest import Engine as RunningEngine
from tests.server.replicas import replica_at
from tests.server.waiting import until, until_async

pytestmark = pytest.mark.anyio
START_S = 300.0
CONNECT_S = 5.0
PROMPT = "1, 2, 3, 4, 5,"


class Ready:
    status = EngineStatus("ready")
    retry_after_s = 30.0


@asynccontextmanager
async def gateway(
    upstream: Upstream, engine: httpx.AsyncClient, view: EngineView, pool: Pool
) -> AsyncIterator[openai.AsyncOpenAI]:
    metrics = Metrics()
    fleet = Fleet((replica_at(upstream, engine, view, metrics, pool=pool),))
    served = create_app(fleet, metrics)
    listening = bind("127.0.0.1", 0)
    listener = make_listener(served.app)
    url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, [listening])
        async with openai.AsyncOpenAI(
            base_url=url, api_key="x", max_retries=0, timeout=120
        ) as client:
            yield client
        listener.should_exit = True


@pytest.fixture
async def client(spec_engine: RunningEngine) -> AsyncIterator[openai.AsyncOpenAI]:
    async with (
        http_upstream(spec_engine.base_url, connect_s=CONNECT_S) as upstream,
        httpx.AsyncClient(base_url=spec_engine.base_url, trust_env=False) as engine,
        gateway(upstream, engine, Ready(), "speculative") as served,
    ):
        yield served


@pytest.fixture
def model(pair: Pair) -> str:
    return pair.served_model_name


def example(task: str) -> Example:
    return held_out(task, 1)[0]


def messages(task: str = "json_extract") -> Any:  # noqa: ANN401 - the client's own unions
    return [dict(message) for message in example(task).messages]


def accepted(usage: Any) -> tuple[int, int]:  # noqa: ANN401
    details = usage.completion_tokens_details
    return details.accepted_prediction_tokens, details.rejected_prediction_tokens


async def test_chat(client: openai.AsyncOpenAI, model: str) -> None:
    answer = await client.chat.completions.create(
        model=model, messages=messages(), temperature=0, max_tokens=200
    )
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason in ("stop", "length")
    kept, lost = accepted(answer.usage)
    assert kept > 0
    assert lost >= 0


async def test_completion(client: openai.AsyncOpenAI, model: str) -> None:
    answer = await client.completions.create(
        model=model, prompt=PROMPT, max_tokens=20, extra_body={"ignore_eos": True}
    )
    assert answer.choices[0].text
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 20


async def test_stream_says_what_the_whole_answer_says(
    client: openai.AsyncOpenAI, model: str
) -> None:
    whole = await client.chat.completions.create(
        model=model, messages=messages(), temperature=0, max_tokens=100
    )
    stream = await client.chat.completions.create(
        model=model,
        messages=messages(),
        temperature=0,
        max_tokens=100,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    usage = chunks[-1].usage
    assert usage is not None
    assert whole.usage is not None
    assert usage.completion_tokens == whole.usage.completion_tokens
    assert accepted(usage) == accepted(whole.usage)


async def test_stream_without_usage_has_none(client: openai.AsyncOpenAI, model: str) -> None:
    stream = await client.chat.completions.create(
        model=model, messages=messages(), max_tokens=20, stream=True
    )
    chunks = [chunk async for chunk in stream]
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason in ("stop", "length")


async def test_several_answers_have_no_acceptance(client: openai.AsyncOpenAI, model: str) -> None:
    answer = await client.chat.completions.create(
        model=model, messages=messages(), max_tokens=20, n=2, temperature=0.7, seed=1
    )
    assert len(answer.choices) == 2
    assert answer.usage is not None
    assert answer.usage.completion_tokens_details is None


async def test_plain_engine_accepts_nothing(plain_engine: RunningEngine, model: str) -> None:
    async with (
        http_upstream(plain_engine.base_url, connect_s=CONNECT_S) as upstream,
        httpx.AsyncClient(base_url=plain_engine.base_url, trust_env=False) as engine,
        gateway(upstream, engine, Ready(), "plain") as client,
    ):
        raw = await client.chat.completions.with_raw_response.create(
            model=model, messages=messages(), max_tokens=20
        )
        assert raw.headers["x-specserve-pool"] == "plain"
        assert accepted(raw.parse().usage) == (0, 0)


async def test_tools(client: openai.AsyncOpenAI, model: str) -> None:
    one = example("tool_call")
    tools: Any = [dict(tool) for tool in one.tools]
    answer = await client.chat.completions.create(
        model=model,
        messages=messages("tool_call"),
        tools=tools,
        tool_choice="required",
        temperature=0,
        max_tokens=300,
    )
    (call,) = (answer.choices[0].message.tool_calls or [])[:1]
    assert call.type == "function"
    assert isinstance(json.loads(call.function.arguments), dict)
    names = {tool["function"]["name"] for tool in tools}
    assert call.function.name in names


async def test_tools_in_a_stream(client: openai.AsyncOpenAI, model: str) -> None:
    one = example("tool_call")
    tools: Any = [dict(tool) for tool in one.tools]
    stream = await client.chat.completions.create(
        model=model,
        messages=messages("tool_call"),
        tools=tools,
        tool_choice="required",
        temperature=0,
        max_tokens=300,
        stream=True,
    )
    deltas = [
        call
        async for chunk in stream
        for call in (chunk.choices[0].delta.tool_calls or [])
        if call.function and call.index == 0
    ]
    arguments = "".join(call.function.arguments or "" for call in deltas if call.function)
    assert isinstance(json.loads(arguments), dict)


SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 20}, "age": {"enum": [1, 2]}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def response_format(schema: object) -> Any:  # noqa: ANN401
    return {"type": "json_schema", "json_schema": {"name": "person", "schema": schema}}


async def test_json_schema(client: openai.AsyncOpenAI, model: str) -> None:
    answer = await client.chat.completions.create(
        model=model,
        messages=messages(),
        response_format=response_format(SCHEMA),
        temperature=0,
        max_tokens=200,
    )
    assert answer.choices[0].finish_reason == "stop"
    document = json.loads(answer.choices[0].message.content or "")
    assert set(document) == {"name", "age"}


async def test_logprobs(client: openai.AsyncOpenAI, model: str) -> None:
    answer = await client.chat.completions.create(
        model=model, messages=messages(), logprobs=True, top_logprobs=3, max_tokens=20
    )
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    assert answer.usage is not None
    # The end-of-text token is generated, counted and has no entry of its own in some answers.
    assert answer.usage.completion_tokens - len(logprobs.content) in (0, 1)
    assert all(len(token.top_logprobs) == 3 for token in logprobs.content)


async def test_sampling_is_reproducible_by_seed(client: openai.AsyncOpenAI, model: str) -> None:
    async def sample(seed: int) -> str | None:
        answer = await client.chat.completions.create(
            model=model, messages=messages("prose"), temperature=0.7, seed=seed, max_tokens=60
        )
        return answer.choices[0].message.content

    assert await sample(1) == await sample(1)


async def test_prompt_too_long(client: openai.AsyncOpenAI, model: str) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        await client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "one two three " * 2000}]
        )
    assert raised.value.code == "context_length_exceeded"
    assert raised.value.param == "messages"


@pytest.mark.parametrize("stream", [True, False])
async def test_nonsense_schema(client: openai.AsyncOpenAI, model: str, stream: bool) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        await client.chat.completions.create(
            model=model,
            messages=messages(),
            response_format=response_format({"type": "nonsense"}),
            stream=stream,
        )
    assert raised.value.code == "invalid_json_schema"


async def test_unknown_model(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as raised:
        await client.chat.completions.create(model="other", messages=messages())
    assert raised.value.code == "model_not_found"


async def test_models(client: openai.AsyncOpenAI, model: str) -> None:
    assert [one.id async for one in client.models.list()] == [model]
    assert (await client.models.retrieve(model)).id == model


async def counter(engine: httpx.AsyncClient, name: str) -> float:
    text = (await engine.get("/metrics")).text
    samples = re.findall(rf"^vllm:{name}{{.*}} (\S+)$", text, re.MULTILINE)
    return sum(float(sample) for sample in samples)


async def test_a_client_that_leaves_stops_the_engine(
    client: openai.AsyncOpenAI, spec_engine: RunningEngine, model: str
) -> None:
    async with httpx.AsyncClient(base_url=spec_engine.base_url, trust_env=False) as engine:

        async def running(wanted: int) -> bool:
            return await counter(engine, "num_requests_running") == wanted

        await until_async(lambda: running(0))
        stream = await client.chat.completions.create(
            model=model,
            messages=messages("count_repeat"),
            max_tokens=800,
            stream=True,
            extra_body={"ignore_eos": True},
        )
        await anext(stream)
        assert await running(1)
        await stream.close()
        await until_async(lambda: running(0))
        stopped_at = await counter(engine, "generation_tokens_total")
        # Another request's tokens are all that is added: the first one's generation is over.
        await client.completions.create(
            model=model, prompt=PROMPT, max_tokens=20, extra_body={"ignore_eos": True}
        )
        await until_async(lambda: running(0))
        assert await counter(engine, "generation_tokens_total") == stopped_at + 20


def core_of(group: int) -> int:
    """The pid of vLLM's EngineCore in a process group."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and "VLLM::Engine" in _title(entry):
            pid = int(entry.name)
            if os.getpgid(pid) == group:
                return pid
    raise AssertionError("no EngineCore in the group")


def _title(entry: Path) -> str:
    try:
        return (entry / "cmdline").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def kill_core(engine: EngineProcess) -> None:
    os.kill(core_of(engine.pid), signal.SIGKILL)


def kill_all(engine: EngineProcess) -> None:
    os.killpg(engine.pid, signal.SIGKILL)


async def test_engine_killed_in_a_stream_is_an_api_error_and_comes_back(
    pair: Pair, model: str, tmp_path: Path
) -> None:
    endpoint = Endpoint(uds=tmp_path / "engine.sock")
    command = render(pair, endpoint)
    engines: list[EngineProcess] = []

    def spawn() -> EngineProcess:
        engines.append(EngineProcess(command, endpoint, model, log=tmp_path / "engine.log"))
        return engines[-1]

    policy = RestartPolicy(ready_timeout_s=START_S)
    engine: Engine = Supervisor(spawn, lambda status: None, policy)
    async with (
        http_upstream(endpoint.base_url, uds=endpoint.uds, connect_s=CONNECT_S) as upstream,
        engine_client(endpoint) as health,
        gateway(upstream, health, engine, "speculative") as client,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(engine.run)
        for kill in (kill_core, kill_all):
            await _ready(engine)
            await _killed(client, model, engines, kill)
            await until(lambda: engine.status.state == "restarting")
            with pytest.raises(openai.InternalServerError) as refused:
                await client.chat.completions.create(model=model, messages=messages())
            assert refused.value.status_code == 503
            assert refused.value.response.headers["retry-after"]
        tasks.cancel_scope.cancel()
    assert len(engines) >= 2


async def _ready(engine: Engine) -> None:
    with anyio.fail_after(START_S):
        while engine.status.state != "ready":  # noqa: ASYNC110 - a process of its own
            await anyio.sleep(0.2)


async def _killed(
    client: openai.AsyncOpenAI,
    model: str,
    engines: list[EngineProcess],
    kill: Callable[[EngineProcess], None],
) -> None:
    stream = await client.chat.completions.create(
        model=model,
        messages=messages("count_repeat"),
        max_tokens=800,
        stream=True,
        extra_body={"ignore_eos": True},
    )
    await anext(stream)
    kill(engines[-1])
    with pytest.raises(openai.APIError) as raised:
        async for _ in stream:
            pass
    assert raised.value.code == "engine_lost"

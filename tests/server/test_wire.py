"""Answers to what is hardly HTTP, byte by byte: the same form as every other error."""

from __future__ import annotations

import json
from contextlib import suppress

import anyio
import httpx
import pytest

from tests.server.conftest import CHAT, Running, chat, running
from tests.server.fake_engine import FakeEngine
from tests.server.test_requests import is_openai_error
from tests.server.test_timeouts_and_leaving import rest_of
from tests.server.waiting import WAIT_S, until

pytestmark = pytest.mark.anyio
POST = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
GET = b"GET /v1/nothing HTTP/1.1\r\nhost: x\r\n"


async def exchange(gateway: Running, *pieces: bytes) -> httpx.Response:
    """Sends and reads to the end of the connection."""
    port = int(gateway.url.rsplit(":", 1)[1])
    with anyio.fail_after(WAIT_S):
        async with await anyio.connect_tcp("127.0.0.1", port) as wire:
            # It may be refused before it was all sent.
            with suppress(anyio.BrokenResourceError):
                for piece in pieces:
                    await wire.send(piece)
            received = await rest_of(wire)
    head, _, body = received.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    return httpx.Response(int(status.split(" ")[1]), headers=headers, content=body)


@pytest.mark.parametrize(
    "pieces",
    [
        [b"nonsense\r\n\r\n"],
        [POST + b"content-length: ten\r\n\r\n{}"],
        [POST + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{}"],
        [POST + b"transfer-encoding: chunked\r\n\r\n", b"zz\r\n{}\r\n"],
        [b"GET /v1/models?q=\xff HTTP/1.1\r\nhost: x\r\n\r\n"],
        [b"GET /v1/models HTTP/1.1\r\n\r\n"],
        [GET + b"host: y\r\n\r\n"],
        [POST + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}"],
        [GET + b" folded: x\r\n\r\n"],
        [b"CONNECT x:443 HTTP/1.1\r\nhost: x\r\n\r\n"],
        [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
    ],
    ids=[
        "nonsense",
        "length",
        "two lengths",
        "chunk",
        "query",
        "no host",
        "two hosts",
        "length and chunks",
        "folded",
        "proxy",
        "http 2",
    ],
)
async def test_what_is_no_http_is_400(gateway: Running, pieces: list[bytes]) -> None:
    answer = await exchange(gateway, *pieces)
    assert answer.status_code == 400
    assert is_openai_error(answer)["code"] == "invalid_http"
    assert answer.headers["connection"] == "close"
    await gateway.until_idle()


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /" + b"a" * 3_000_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
        GET + b"x-big: " + b"a" * 3_000_000 + b"\r\n\r\n",
        GET + b"x-small: a\r\n" * 300_000 + b"\r\n",
    ],
    ids=["url", "one header", "many headers"],
)
async def test_a_head_without_bound_is_431(gateway: Running, request_bytes: bytes) -> None:
    answer = await exchange(gateway, request_bytes)
    assert answer.status_code == 431
    assert is_openai_error(answer)["code"] == "headers_too_large"


async def test_headers_of_a_usual_size_pass(gateway: Running) -> None:
    cookie = {"cookie": "a" * 32_000}
    assert (await gateway.http.post(CHAT, json=chat(), headers=cookie)).status_code == 200


async def test_the_number_of_headers_has_a_bound(gateway: Running) -> None:
    host_and_close = 2
    for count, status in ((100, 404), (101, 431)):
        many = b"".join(b"x-%d: a\r\n" % number for number in range(count - host_and_close))
        answer = await exchange(gateway, GET + b"connection: close\r\n" + many + b"\r\n")
        assert answer.status_code == status
        is_openai_error(answer)


async def test_headers_that_do_not_come_on_end_the_connection(engine: FakeEngine) -> None:
    async with running(engine.url, head_timeout_s=0.3) as gateway:
        answer = await exchange(gateway, GET)
        assert answer.status_code == 408
        assert is_openai_error(answer)["code"] == "timeout_headers"
        port = int(gateway.url.rsplit(":", 1)[1])
        with anyio.fail_after(WAIT_S):
            # Who says nothing at all is told nothing; nor does a second request wait for ever.
            for start in (b"", b"\r\n"):
                async with await anyio.connect_tcp("127.0.0.1", port) as wire:
                    await wire.send(start)
                    assert await rest_of(wire) == b""
            async with await anyio.connect_tcp("127.0.0.1", port) as wire:
                await wire.send(GET + b"\r\n" + GET)
                both = await rest_of(wire)
        assert both.startswith(b"HTTP/1.1 404 ")
        assert b"HTTP/1.1 408 " in both
        await until(lambda: not gateway.listener.server_state.connections)


async def test_a_slow_body_is_no_slow_header(engine: FakeEngine) -> None:
    async with running(engine.url, head_timeout_s=0.2) as gateway:
        body = json.dumps(chat()).encode()
        head = POST + b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
        port = int(gateway.url.rsplit(":", 1)[1])
        with anyio.fail_after(WAIT_S):
            async with await anyio.connect_tcp("127.0.0.1", port) as wire:
                await wire.send(head + body[:5])
                await anyio.sleep(0.5)
                await wire.send(body[5:])
                assert (await rest_of(wire)).startswith(b"HTTP/1.1 200 ")


async def test_no_web_socket_is_spoken(gateway: Running) -> None:
    key = b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n"
    upgrade = b"connection: upgrade, close\r\nupgrade: websocket\r\n"
    answer = await exchange(gateway, GET + upgrade + key + b"\r\n")
    assert answer.status_code == 404
    assert is_openai_error(answer)["code"] == "unknown_url"


async def test_a_client_that_would_like_http_2_is_served(
    gateway: Running, engine: FakeEngine
) -> None:
    body = json.dumps(chat(stream=True)).encode()
    head = POST + b"connection: upgrade, http2-settings, close\r\nupgrade: h2c\r\n"
    answer = await exchange(gateway, head + f"content-length: {len(body)}\r\n\r\n".encode() + body)
    assert answer.status_code == 200
    assert b"[DONE]" in answer.content
    assert engine.wires[0].body


async def test_a_refused_body_that_goes_wrong_gets_no_second_answer(
    gateway: Running, caplog: pytest.LogCaptureFixture
) -> None:
    head = POST.replace(b"application/json", b"text/plain") + b"transfer-encoding: chunked\r\n\r\n"
    port = int(gateway.url.rsplit(":", 1)[1])
    with anyio.fail_after(WAIT_S):
        async with await anyio.connect_tcp("127.0.0.1", port) as wire:
            await wire.send(head)
            assert (await wire.receive()).startswith(b"HTTP/1.1 415 ")
            await wire.send(b"zz\r\n")
            assert b"HTTP/1.1" not in await rest_of(wire)
    assert caplog.records == []


async def test_what_follows_a_request_does_not_end_up_in_its_answer(gateway: Running) -> None:
    body = json.dumps(chat(stream=True)).encode()
    head = POST + f"content-length: {len(body)}\r\n\r\n".encode()
    answer = await exchange(gateway, head + body + b"nonsense\r\n\r\n")
    assert answer.status_code == 200
    stream, _, after = answer.content.partition(b"0\r\n\r\n")
    assert stream.rstrip().endswith(b"data: [DONE]")
    assert after.startswith(b"HTTP/1.1 400 ")


async def test_requests_sent_at_once_are_answered_in_their_order(gateway: Running) -> None:
    request = b"%b %b HTTP/1.1\r\nhost: x\r\n%b\r\n"
    body = json.dumps(chat(stream=True)).encode()
    length = b"content-type: application/json\r\ncontent-length: %d\r\n" % len(body)
    first = request % (b"POST", CHAT.encode(), length) + body
    upgrade = b"connection: upgrade\r\nupgrade: h2c\r\n"
    second = request % (b"GET", b"/v1/models", upgrade)
    last = request % (b"GET", b"/v1/nothing", b"connection: close\r\n")
    answer = await exchange(gateway, first + second + last)
    assert answer.status_code == 200
    stream, models, nothing = answer.content.split(b"HTTP/1.1 ")
    assert stream.endswith(b"0\r\n\r\n")
    assert models.startswith(b"200 ")
    assert nothing.startswith(b"404 ")


async def test_what_follows_a_body_is_no_header(gateway: Running, engine: FakeEngine) -> None:
    body = json.dumps(chat()).encode()
    head = POST + b"connection: close\r\ntransfer-encoding: chunked\r\n\r\n"
    trailer = b"0\r\nx-request-id: late\r\n\r\n"
    answer = await exchange(gateway, head + b"%x\r\n%b\r\n" % (len(body), body) + trailer)
    assert answer.status_code == 200
    assert answer.headers["x-request-id"] != "late"
    assert engine.wires[0].body == body


async def test_trailers_without_bound_end_the_connection(gateway: Running) -> None:
    head = POST + b"transfer-encoding: chunked\r\n\r\n0\r\nx-big: "
    answer = await exchange(gateway, head, b"a" * 3_000_000)
    assert answer.status_code == 431

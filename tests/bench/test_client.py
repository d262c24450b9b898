"""What makes a reply unusable, and that the connection never outlives its limits."""

import asyncio

import pytest

from bench.client import Call, Target, body, send
from bench.engines import free_port
from bench.record import Reply
from bench.reply import read_reply
from bench.wire import Limits
from tests.bench.fake_engine import (
    DONE,
    MODEL,
    FakeClock,
    FakeEngine,
    Frame,
    Steps,
    chunk_event,
    event,
    serving,
    usage_event,
)

pytestmark = pytest.mark.anyio
CALL = Call((1, 2, 3), 50, "salt")


async def ask(engine: FakeEngine, limits: Limits | None = None) -> Reply:
    async with serving(engine) as url:
        return read_reply(await send(Target("plain", url, MODEL), CALL, limits or Limits()))


async def ask_frames(*data: bytes) -> Reply:
    return await ask(FakeEngine(lambda _: [Frame(0, piece) for piece in data]))


async def test_a_whole_stream_is_usable() -> None:
    reply = await ask(FakeEngine(Steps(4, speculative=True), {"\x01\x02\x03": "abcdefghi"}))
    assert reply.problem is None
    assert reply.finish_reason == "stop"
    assert reply.token_ids == tuple(b"abcdefghi")
    assert reply.speculation is not None
    assert reply.speculation.per_step_accepted == (3, 3)


async def test_a_token_count_that_the_usage_denies_is_refused() -> None:
    reply = await ask(FakeEngine(Steps(lost_tokens=1), {"\x01\x02\x03": "abc"}))
    assert reply.problem == "3 tokens in chunks, 2 in usage"


async def test_each_broken_stream_has_its_own_reason() -> None:
    good = chunk_event("a", [1], "stop")
    usage = usage_event(1)
    assert (await ask_frames(good, usage)).problem == "the stream ended without [DONE]"
    assert (await ask_frames(chunk_event("a", [1]), usage, DONE)).problem == "no finish_reason"
    assert (await ask_frames(good, DONE)).problem == "no usage in the stream"
    assert (await ask_frames(usage_event(0), DONE)).problem == "no finish_reason"
    error = await ask_frames(good, event({"error": {"message": "engine died"}}), DONE)
    assert "engine died" in str(error.problem)
    assert "unreadable event" in str((await ask_frames(b"data: {oops\n\n", DONE)).problem)


async def test_a_refusal_carries_the_engines_words() -> None:
    reply = await ask(FakeEngine(Steps(), refuse_with=400))
    assert reply.status == 400
    assert reply.problem == 'HTTP status 400: {"error": {"message": "no"}}'


async def test_nobody_listening_is_a_problem_not_an_exception() -> None:
    target = Target("plain", f"http://127.0.0.1:{free_port()}", MODEL)
    reply = read_reply(await send(target, CALL))
    assert reply.status == 0
    assert str(reply.problem).startswith("no connection")


@pytest.mark.parametrize(
    ("limits", "named"),
    [
        (Limits(idle_s=0.05), "nothing arrived for 0.05 s"),
        (Limits(total_s=0.05), "not finished within 0.05 s"),
    ],
)
async def test_a_silent_engine_ends_at_the_named_limit(limits: Limits, named: str) -> None:
    clock, over = FakeClock(), asyncio.Event()

    async def pace(seconds: float) -> None:
        await clock.pace(seconds)
        if seconds:
            await over.wait()

    engine = clock.engine(lambda _: [Frame(0, chunk_event("a", [1])), Frame(1, DONE)])
    engine.pace = pace
    async with serving(engine) as url:
        reply = read_reply(await send(Target("plain", url, MODEL), CALL, limits, clock))
        over.set()
    assert reply.problem == named
    assert reply.token_ids == (1,)


async def test_cancelling_closes_the_connection() -> None:
    arrived, gone = asyncio.Event(), asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        arrived.set()
        while await reader.read(4096):
            pass
        gone.set()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        task = asyncio.create_task(send(Target("plain", f"http://127.0.0.1:{port}", MODEL), CALL))
        async with asyncio.timeout(60):
            await arrived.wait()
            task.cancel()
            await gone.wait()


def test_the_request_is_greedy_counted_and_never_cached() -> None:
    sent = body("m", Call((5,), 9, "unique", {"type": "object"}))
    assert sent["temperature"] == 0
    assert sent["return_token_ids"] is True
    assert sent["stream_options"] == {"include_usage": True, "continuous_usage_stats": True}
    assert sent["cache_salt"] == "unique"
    assert sent["response_format"]["json_schema"]["schema"] == {"type": "object"}
    assert "response_format" not in body("m", Call((5,), 9, "unique"))


def growing(text: str, total: int, finish: str | None = None) -> bytes:
    """A chunk of a server that tells usage as it goes, and no token ids."""
    choice = {"index": 0, "text": text, "finish_reason": finish}
    usage = {"prompt_tokens": 3, "completion_tokens": total}
    return event({"id": "x", "choices": [choice], "usage": usage})


async def test_without_token_ids_the_growth_of_the_usage_counts() -> None:
    reply = await ask_frames(
        growing("a", 1), growing("bcd", 4), growing("", 4), growing("e", 6, "stop"),
        usage_event(6), DONE,
    )  # fmt: skip
    assert (reply.problem, reply.counted_by) == (None, "usage")
    assert [chunk.tokens for chunk in reply.chunks] == [1, 3, 2]
    assert reply.token_ids == ()


async def test_usage_at_the_end_alone_tells_of_no_chunk() -> None:
    silent = event({"id": "x", "choices": [{"index": 0, "text": "a", "finish_reason": "stop"}]})
    reply = await ask_frames(silent, usage_event(1), DONE)
    assert reply.counted_by is None
    assert "neither token ids nor usage with its chunks" in str(reply.problem)


async def test_a_stream_that_dies_keeps_what_it_had() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        data = chunk_event("ab", [1, 2])
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked"
            b"\r\n\r\n%x\r\n%b\r\n" % (len(data), data)
        )
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        reply = read_reply(await send(Target("plain", f"http://127.0.0.1:{port}", MODEL), CALL))
    assert reply.problem is not None
    assert reply.token_ids == (1, 2)

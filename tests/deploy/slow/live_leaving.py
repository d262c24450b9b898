"""A gateway and an engine that nobody can reach any more but over what is open: a pod that ends.

Its address leaves DNS while its streams go on; here its port closes instead.
"""

from __future__ import annotations

import asyncio

import httpx
import pytest

from tests.server.conftest import CHAT, chat
from tests.server.fake_engine import FakeEngine, FakeWire, text_chunk, usage_chunk
from tests.server.test_command import answer_checked, says, server
from tests.server.waiting import until_async

pytestmark = pytest.mark.anyio
LOST_S = 60.0


async def test_an_engine_that_leaves_finishes_its_streams_and_gets_no_more() -> None:
    engine, end = FakeEngine(script=answer_checked), asyncio.Event()

    async def held(wire: FakeWire) -> None:
        await wire.begin()
        await wire.event(text_chunk("hel"))
        await end.wait()
        await wire.event(text_chunk("lo", finish="stop"))
        await wire.event(usage_chunk())
        await wire.done()

    listener = await asyncio.start_server(engine.handle, "127.0.0.1", 0)
    engine.port = listener.sockets[0].getsockname()[1]
    with server("--engine-url", engine.url) as running:
        async with httpx.AsyncClient(base_url=running.url, timeout=LOST_S, trust_env=False) as http:
            await until_async(lambda: says(http, "ready"))
            engine.script = held
            async with http.stream("POST", CHAT, json=chat(stream=True)) as answer:
                text = answer.aiter_text()
                assert "hel" in await anext(text)
                asked = len(engine.wires)
                listener.close()
                await until_async(lambda: says(http, "restarting"))
                assert (await http.post(CHAT, json=chat())).status_code == 503
                assert len(engine.wires) == asked
                end.set()
                rest = "".join([piece async for piece in text])
    assert rest.endswith("data: [DONE]\n\n")

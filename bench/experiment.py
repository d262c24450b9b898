"""The paired experiment: the same prompts on both arms in blocks A B B A, never both at once."""

import asyncio
import random
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import httpx

from bench.client import Call, Target, read_reply, send
from bench.errors import EngineFailedError
from bench.lag import Lag, watched_lag
from bench.record import Arm, Measured, Prompt, Reply, Settings
from bench.wire import DEFAULT_LIMITS, Exchange, Limits
from bench.workloads import Workload
from neuron.local.corpus import Example

RENDER_TIMEOUT_S = 30.0
WARMUP_TOKENS = 32

T = TypeVar("T")


@dataclass(frozen=True)
class Block:
    arm: Arm
    repeat: int


@dataclass(frozen=True)
class Item:
    """A prompt as both arms will get it, with what judges the answer."""

    workload: Workload
    index: int
    example: Example
    tokens: tuple[int, ...]

    def fact(self) -> Prompt:
        return Prompt(
            workload=self.workload.name,
            index=self.index,
            structured=self.workload.structured,
            token_ids=self.tokens,
            phrasing=self.example.phrasing,
            answer=self.example.answer,
            temperature=self.workload.temperature,
        )


@dataclass(frozen=True)
class Step:
    """Progress: one request done."""

    workload: str
    concurrency: int
    arm: Arm
    done: int
    of: int


Observer = Callable[[Step], None]


def blocks(base: Arm, other: Arm, rounds: int, rng: random.Random) -> list[Block]:
    """A B B A per round; a coin says who is A. Each arm gets repeats 0, 1, 2, … in order."""
    order: list[Arm] = []
    for _ in range(rounds):
        a, b = (base, other) if rng.random() < 0.5 else (other, base)
        order += [a, b, b, a]
    seen: dict[Arm, int] = {base: 0, other: 0}
    plan = []
    for arm in order:
        plan.append(Block(arm, seen[arm]))
        seen[arm] += 1
    return plan


async def render_prompts(
    target: Target, workloads: Sequence[Workload], settings: Settings
) -> list[Item]:
    """Prompt tokens by the engine's own chat template, taken once and sent to both arms."""
    async with httpx.AsyncClient(
        base_url=target.base_url, timeout=RENDER_TIMEOUT_S, trust_env=False
    ) as http:
        return [
            Item(workload, index, example, await _tokenise(http, target, example))
            for workload in workloads
            for index, example in enumerate(workload.examples(settings.prompts, settings.seed))
        ]


async def _tokenise(http: httpx.AsyncClient, target: Target, example: Example) -> tuple[int, ...]:
    body = {"model": target.model, "messages": list(example.messages)}
    if example.tools:
        body["tools"] = list(example.tools)
    try:
        answer = await http.post("/tokenize", json=body, headers=dict(target.headers))
        answer.raise_for_status()
        return tuple(answer.json()["tokens"])
    except (httpx.HTTPError, ValueError, KeyError) as error:
        raise EngineFailedError(
            f"The {target.arm} engine at {target.base_url} did not turn a chat into tokens at "
            f"/tokenize ({error}); the bench needs a vLLM engine there, not a gateway"
            f"{target.see_log}."
        ) from error


async def measure(
    settings: Settings,
    items: Sequence[Item],
    arms: tuple[Target, Target],
    observe: Observer,
    record: Callable[[Measured], None],
    limits: Limits = DEFAULT_LIMITS,
) -> None:
    """`arms` are base and other; `record` gets each block's requests when the block has ended.

    Also those of a block that is cut short. Raises EngineFailedError if an engine stops answering.
    """
    base, other = arms
    targets: Mapping[Arm, Target] = {base.arm: base, other.arm: other}
    rng = random.Random(f"blocks:{settings.seed}")
    run = secrets.token_hex(4)
    tick = _ticker(observe, len(items) * 4 * settings.rounds * len(settings.concurrency))
    for concurrency in settings.concurrency:
        for target in arms:
            count = max(settings.warmup, concurrency)
            await _warm(settings, items, target, concurrency, count, f"{run}-warm", limits)
        for name in settings.workloads:
            chosen = [item for item in items if item.workload.name == name]
            plan = blocks(base.arm, other.arm, settings.rounds, rng)
            for number, block in enumerate(plan):
                # This arm was idle while the other ran, and its pages and caches may be gone.
                salt = f"{run}-settle-{name}-{number}"
                await _warm(
                    settings, items, targets[block.arm], concurrency, concurrency, salt, limits
                )
                sending = _Sending(
                    settings, targets[block.arm], concurrency, number, block, limits, run
                )
                await _block(sending, chosen, tick, record)


def _ticker(observe: Observer, total: int) -> Callable[[str, int, Arm], None]:
    done = 0

    def tick(workload: str, concurrency: int, arm: Arm) -> None:
        nonlocal done
        done += 1
        observe(Step(workload, concurrency, arm, done, total))

    return tick


@dataclass(frozen=True)
class _Sending:
    settings: Settings
    target: Target
    concurrency: int
    number: int
    block: Block
    limits: Limits
    run: str

    async def send(self, item: Item) -> Exchange:
        schema = item.example.schema if self.settings.guided else None
        salt = f"{self.run}-{item.workload.name}-{item.index}-{self.concurrency}-{self.number}"
        temperature = item.workload.temperature
        call = Call(
            item.tokens, self.settings.max_tokens, salt, schema, temperature,
            self._seed(item) if temperature else None,
        )  # fmt: skip
        return await send(self.target, call, self.limits)

    def _seed(self, item: Item) -> int:
        """The same on both arms."""
        parts = (self.settings.seed, item.workload.name, item.index, self.block.repeat)
        return random.Random(repr(parts)).getrandbits(31)

    def judged(self, item: Item, done: Exchange, lag: Lag) -> Measured:
        reply = read_reply(done)
        outcome = item.workload.judge(item.example, reply.text, reply.finish_reason)
        return Measured(
            workload=item.workload.name,
            concurrency=self.concurrency,
            prompt=item.index,
            repeat=self.block.repeat,
            block=self.number,
            arm=self.target.arm,
            started_ns=done.sent_ns,
            client_lag_ms=lag.worst_ms(done.sent_ns, done.ended_ns),
            reply=reply,
            valid=outcome.valid and reply.problem is None,
            exact=outcome.exact and reply.problem is None,
            reason=outcome.reason,
        )


async def _block(
    sending: _Sending,
    items: Sequence[Item],
    tick: Callable[[str, int, Arm], None],
    record: Callable[[Measured], None],
) -> None:
    raw: list[tuple[Item, Exchange]] = []

    async def one(item: Item) -> None:
        raw.append((item, await sending.send(item)))
        tick(item.workload.name, sending.concurrency, sending.target.arm)

    lag = Lag()
    try:
        async with watched_lag() as lag:
            await _at_once(sending.concurrency, items, one)
    finally:
        # Only now: parsing or judging one stream would delay the stamps of another.
        block = [sending.judged(item, done, lag) for item, done in raw]
        for measured in sorted(block, key=lambda one: one.started_ns):
            record(measured)
    _still_answers(sending.target, [measured.reply for measured in block])


async def _at_once(
    concurrency: int, jobs: Iterable[T], work: Callable[[T], Awaitable[None]]
) -> None:
    queue = iter(jobs)

    async def worker() -> None:
        for job in queue:
            await work(job)

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(worker())


async def _warm(
    settings: Settings,
    items: Sequence[Item],
    target: Target,
    concurrency: int,
    count: int,
    salt: str,
    limits: Limits,
) -> None:
    """Runs and forgets, unless the settings want no warm-up.

    The prompts are measured ones reversed, so that no prefix is shared. Less than `concurrency`
    of them would leave the largest batch cold.
    """
    if not settings.warmup:
        return
    replies: list[Reply] = []

    async def one(call: Call) -> None:
        replies.append(read_reply(await send(target, call, limits)))

    tokens = min(WARMUP_TOKENS, settings.max_tokens)
    calls = [
        Call(items[index % len(items)].tokens[::-1], tokens, f"{salt}-{concurrency}-{index}")
        for index in range(count)
    ]
    await _at_once(concurrency, calls, one)
    _still_answers(target, replies)


def _still_answers(target: Target, replies: Sequence[Reply]) -> None:
    if replies and all(reply.status != 200 for reply in replies):
        raise EngineFailedError(
            f"The {target.arm} engine at {target.base_url} answered none of {len(replies)} "
            f"requests: {replies[0].problem}{target.see_log}."
        )

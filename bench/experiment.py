"""The paired experiment: the same prompts on both arms in blocks A B B A, never both at once."""

import asyncio
import random
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import httpx

from bench.client import Call, Target, complete
from bench.errors import EngineFailedError
from bench.record import Arm, Measured, Prompt, Reply, Settings
from bench.wire import DEFAULT_LIMITS, Limits
from bench.workloads import Workload
from neuron.local.corpus import Example

RENDER_TIMEOUT_S = 30.0
WARMUP_TOKENS = 32


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
    transport = httpx.AsyncHTTPTransport(uds=str(target.uds)) if target.uds else None
    async with httpx.AsyncClient(
        base_url=target.base_url, timeout=RENDER_TIMEOUT_S, transport=transport, trust_env=False
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
            f"/tokenize ({error}); the bench needs a vLLM engine there, not a gateway."
        ) from error


async def measure(
    settings: Settings,
    items: Sequence[Item],
    arms: tuple[Target, Target],
    observe: Observer,
    limits: Limits = DEFAULT_LIMITS,
) -> list[Measured]:
    """`arms` are base and other. Raises EngineFailedError when an engine stops answering."""
    base, other = arms
    targets: Mapping[Arm, Target] = {base.arm: base, other.arm: other}
    rng = random.Random(f"blocks:{settings.seed}")
    run = secrets.token_hex(4)
    total = len(items) * 4 * settings.rounds * len(settings.concurrency)
    done: list[Measured] = []
    for concurrency in settings.concurrency:
        await _warm(settings, items, arms, concurrency, limits, run)
        for name in settings.workloads:
            chosen = [item for item in items if item.workload.name == name]
            plan = blocks(base.arm, other.arm, settings.rounds, rng)
            for number, block in enumerate(plan):

                def report(one: Measured) -> None:
                    done.append(one)
                    observe(Step(one.workload, one.concurrency, one.arm, len(done), total))

                await _block(
                    _Sending(settings, targets[block.arm], concurrency, number, block, limits, run),
                    chosen,
                    report,
                )
    return sorted(done, key=lambda one: one.started_ns)


@dataclass(frozen=True)
class _Sending:
    settings: Settings
    target: Target
    concurrency: int
    number: int
    block: Block
    limits: Limits
    run: str

    async def one(self, item: Item) -> Measured:
        schema = item.example.schema if self.settings.guided else None
        salt = f"{self.run}-{item.workload.name}-{item.index}-{self.concurrency}-{self.number}"
        call = Call(item.tokens, self.settings.max_tokens, salt, schema)
        started, reply = await complete(self.target, call, self.limits)
        outcome = item.workload.judge(item.example, reply.text, reply.finish_reason)
        return Measured(
            workload=item.workload.name,
            concurrency=self.concurrency,
            prompt=item.index,
            repeat=self.block.repeat,
            block=self.number,
            arm=self.target.arm,
            started_ns=started,
            reply=reply,
            valid=outcome.valid and reply.problem is None,
            exact=outcome.exact and reply.problem is None,
            reason=outcome.reason,
        )


async def _block(
    sending: _Sending, items: Sequence[Item], report: Callable[[Measured], None]
) -> None:
    replies: list[Reply] = []
    queue: Iterator[Item] = iter(items)

    async def worker() -> None:
        for item in queue:
            one = await sending.one(item)
            replies.append(one.reply)
            report(one)

    async with asyncio.TaskGroup() as group:
        for _ in range(sending.concurrency):
            group.create_task(worker())
    _still_answers(sending.target, replies)


async def _warm(
    settings: Settings,
    items: Sequence[Item],
    arms: tuple[Target, Target],
    concurrency: int,
    limits: Limits,
    run: str,
) -> None:
    """Runs and forgets. The prompts are measured ones reversed, so that no prefix is shared."""
    calls = [
        Call(
            items[index % len(items)].tokens[::-1],
            min(WARMUP_TOKENS, settings.max_tokens),
            f"{run}-warm-{concurrency}-{index}",
        )
        for index in range(settings.warmup)
    ]
    for target in arms:
        queue = iter(calls)
        replies: list[Reply] = []

        async def worker(
            target: Target = target, queue: Iterator[Call] = queue, replies: list[Reply] = replies
        ) -> None:
            for call in queue:
                _, reply = await complete(target, call, limits)
                replies.append(reply)

        async with asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(worker())
        _still_answers(target, replies)


def _still_answers(target: Target, replies: Sequence[Reply]) -> None:
    if replies and all(reply.status != 200 for reply in replies):
        raise EngineFailedError(
            f"The {target.arm} engine at {target.base_url} answered none of {len(replies)} "
            f"requests: {replies[0].problem}."
        )

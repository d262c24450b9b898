"""The paired experiment: the same prompts on both arms in blocks A B B A, never both at once."""

import random
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.client import Call, Target, send
from bench.counters import growth, scrape
from bench.errors import EngineFailedError
from bench.lag import Lag, no_collections, watched_lag
from bench.load import at_once, at_times
from bench.prompts import Item
from bench.record import Arm, Block, Measured, Reply, Settings
from bench.reply import read_reply
from bench.sending import Sending, Turn
from bench.wire import DEFAULT_LIMITS, Exchange, Limits

WARMUP_TOKENS = 32


@dataclass(frozen=True)
class Step:
    """Progress: one request done."""

    workload: str
    concurrency: int
    arm: Arm
    done: int
    of: int


Observer = Callable[[Step], None]


@dataclass(frozen=True)
class Sink:
    """Where what was measured goes, block by block, also of a block that is cut short."""

    request: Callable[[Measured], None]
    block: Callable[[Block], None]


def turns(base: Arm, other: Arm, rounds: int, rng: random.Random) -> list[Turn]:
    """A B B A per round; a coin says who is A."""
    order: list[Arm] = []
    for _ in range(rounds):
        a, b = (base, other) if rng.random() < 0.5 else (other, base)
        order += [a, b, b, a]
    seen: dict[Arm, int] = {base: 0, other: 0}
    plan = []
    for arm in order:
        plan.append(Turn(arm, seen[arm]))
        seen[arm] += 1
    return plan


async def measure(
    settings: Settings,
    items: Sequence[Item],
    arms: tuple[Target, Target],
    observe: Observer,
    sink: Sink,
    limits: Limits = DEFAULT_LIMITS,
) -> None:
    """`arms` are base and other. Raises EngineFailedError if an engine stops answering."""
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
            plan = turns(base.arm, other.arm, settings.rounds, rng)
            for number, turn in enumerate(plan):
                # This arm was idle while the other ran, and its pages and caches may be gone.
                salt = f"{run}-settle-{name}-{number}"
                with no_collections():
                    await _warm(
                        settings, items, targets[turn.arm], concurrency, concurrency or 1, salt,
                        limits,
                    )  # fmt: skip
                    sending = Sending(
                        settings, targets[turn.arm], concurrency, number, turn, limits, run
                    )
                    await _block(sending, chosen, tick, sink)


def _ticker(observe: Observer, total: int) -> Callable[[str, int, Arm], None]:
    done = 0

    def tick(workload: str, concurrency: int, arm: Arm) -> None:
        nonlocal done
        done += 1
        observe(Step(workload, concurrency, arm, done, total))

    return tick


async def _block(
    sending: Sending,
    items: Sequence[Item],
    tick: Callable[[str, int, Arm], None],
    sink: Sink,
) -> None:
    raw: list[tuple[Item, Exchange, float]] = []
    name = items[0].workload.name

    async def one(item: Item, late_ms: float = 0.0) -> None:
        raw.append((item, await sending.send(item), late_ms))
        tick(name, sending.concurrency, sending.target.arm)

    lag, before = Lag(), await scrape(sending.target)
    try:
        times = sending.arrivals(name, len(items))
        async with watched_lag() as lag:
            if times is None:
                await at_once(sending.concurrency, items, one)
            else:
                await at_times(times, items, one)
    finally:
        # Only now: parsing or judging one stream would delay the stamps of another.
        done = [sending.judged(item, exchange, late, lag) for item, exchange, late in raw]
        for measured in sorted(done, key=lambda one: one.started_ns):
            sink.request(measured)
    replies = [measured.reply for measured in done]
    tokens = sum(reply.completion_tokens or 0 for reply in replies)
    sink.block(
        Block(
            workload=name,
            concurrency=sending.concurrency,
            number=sending.number,
            arm=sending.target.arm,
            started_ns=lag.started_ns,
            ended_ns=lag.ended_ns,
            client_cpu=lag.cpu,
            client_stalled=lag.stalled,
            counters=await growth(sending.target, before, tokens),
        )
    )
    _still_answers(sending.target, replies)


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
    await at_once(concurrency or 1, calls, one)
    _still_answers(target, replies)


def _still_answers(target: Target, replies: Sequence[Reply]) -> None:
    if replies and all(reply.status != 200 for reply in replies):
        raise EngineFailedError(
            f"The {target.arm} engine at {target.base_url} answered none of {len(replies)} "
            f"requests: {replies[0].problem}{target.see_log}."
        )

"""The paired experiment: the same prompts on both arms in blocks A B B A, never both at once."""

import random
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.client import Call, Target, read_reply, send
from bench.counters import growth, scrape
from bench.errors import EngineFailedError
from bench.lag import Lag, watched_lag
from bench.load import at_once, at_times, offsets
from bench.prompts import Item
from bench.record import Arm, Block, Measured, Reply, Settings
from bench.validity import classify
from bench.wire import DEFAULT_LIMITS, Exchange, Limits

WARMUP_TOKENS = 32


@dataclass(frozen=True)
class Turn:
    """One arm's next block. Each arm gets repeats 0, 1, 2, … in order."""

    arm: Arm
    repeat: int


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
                await _warm(
                    settings, items, targets[turn.arm], concurrency, concurrency or 1, salt, limits
                )
                sending = _Sending(
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


@dataclass(frozen=True)
class _Sending:
    settings: Settings
    target: Target
    concurrency: int
    number: int
    turn: Turn
    limits: Limits
    run: str

    async def send(self, item: Item) -> Exchange:
        schema = item.example.schema if self.settings.guided else None
        salt = f"{self.run}-{item.workload.name}-{item.index}-{self.concurrency}-{self.number}"
        call = Call(
            item.tokens, self.settings.max_tokens, salt, schema, item.temperature,
            self._seed(item) if item.temperature else None,
        )  # fmt: skip
        return await send(self.target, call, self.limits)

    def _seed(self, item: Item) -> int:
        """The same on both arms."""
        parts = (self.settings.seed, item.workload.name, item.index, self.turn.repeat)
        return random.Random(repr(parts)).getrandbits(31)

    def arrivals(self, name: str, count: int) -> list[float] | None:
        """The same on both arms; `None` in a closed loop."""
        if self.settings.arrivals is None:
            return None
        rng = random.Random(f"arrivals:{self.settings.seed}:{name}:{self.turn.repeat}")
        return offsets(self.settings.arrivals, count, rng)

    def judged(self, item: Item, done: Exchange, late_ms: float, lag: Lag) -> Measured:
        reply = read_reply(done)
        outcome = item.workload.judge(item.example, reply.text, reply.finish_reason)
        return Measured(
            workload=item.workload.name,
            concurrency=self.concurrency,
            prompt=item.index,
            repeat=self.turn.repeat,
            block=self.number,
            arm=self.target.arm,
            started_ns=done.sent_ns,
            late_ms=late_ms,
            client_lag_ms=lag.worst_ms(done.sent_ns, done.ended_ns),
            reply=reply,
            valid=outcome.valid and reply.problem is None,
            exact=outcome.exact and reply.problem is None,
            answer=classify(
                reply.text,
                reply.finish_reason,
                valid=outcome.valid,
                exact=outcome.exact,
                schema=item.example.schema,
                status=reply.status,
                problem=reply.problem,
            ),
            reason=outcome.reason,
        )


async def _block(
    sending: _Sending,
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

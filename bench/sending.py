"""What one block sends, and what each exchange of it comes to."""

import random
from dataclasses import dataclass

from bench.client import Call, Target, send
from bench.lag import Lag
from bench.load import offsets
from bench.prompts import Item
from bench.record import Arm, Measured, Settings
from bench.reply import read_reply
from bench.validity import classify
from bench.wire import Exchange, Limits


@dataclass(frozen=True)
class Turn:
    """One arm's next block. Each arm gets repeats 0, 1, 2, … in order."""

    arm: Arm
    repeat: int


@dataclass(frozen=True)
class Sending:
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
            item.tokens, item.max_tokens, salt, schema, item.temperature,
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
                unfenced=lambda inside: (
                    item.workload.judge(item.example, inside, reply.finish_reason).valid
                ),
            ),
            reason=outcome.reason,
        )

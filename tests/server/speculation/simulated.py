"""Two pools whose times a test sets, in front of the real policy."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from server.speculation import Answered, AutoPolicy, Choice, TrafficClass
from server.usage import POOLS, Pool

BOTH = frozenset(POOLS)
IDLE: Mapping[Pool, float] = {"speculative": 0.0, "plain": 0.0}
PLAIN_S = 0.040
NOISE = 0.3
"""Standard deviation of the logarithm of a request's time per token."""


def schema(name: str, key_id: str | None = None) -> TrafficClass:
    return TrafficClass.of("schema", digest=name, key_id=key_id)


@dataclass
class Simulation:
    """`ratio` says how long a token takes on the speculative pool, in plain tokens."""

    ratio: Callable[[TrafficClass], float]
    seed: int = 0
    noise: float = NOISE
    exponents: Mapping[Pool, float] = field(default_factory=lambda: dict.fromkeys(POOLS, 0.0))
    prefill_s: float = 0.0
    """Per prompt token, in both pools."""
    prompt: Callable[[], int] = lambda: 0
    now_s: float = 0.0
    policy: AutoPolicy = field(init=False)
    rng: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.rng = random.Random(f"world:{self.seed}")
        policy_rng = random.Random(f"policy:{self.seed}")
        self.policy = AutoPolicy(clock=lambda: self.now_s, rng=policy_rng, max_classes=64)

    def true_s(self, cls: TrafficClass, pool: Pool, load: float = 0.0) -> float:
        """Expected seconds per token."""
        alone = PLAIN_S * (self.ratio(cls) if pool == "speculative" else 1.0)
        return alone * math.exp(self.exponents[pool] * math.log1p(load))

    def request(self, cls: TrafficClass, load: Mapping[Pool, float] = IDLE) -> Choice:
        choice = self.policy.choose(cls, load=load, available=BOTH)
        self.answer(cls, choice.pool, load[choice.pool])
        return choice

    def answer(
        self, cls: TrafficClass, pool: Pool, load: float = 0.0, *, slowed: float = 1.0,
        replica: str | None = None,
    ) -> None:  # fmt: skip
        tokens, prompt = self.rng.randint(20, 200), self.prompt()
        noise = math.exp(self.rng.gauss(0, self.noise) - self.noise**2 / 2)
        first = self.prefill_s * prompt
        seconds = first + self.true_s(cls, pool, load) * noise * slowed * tokens
        self.now_s += seconds
        took = Answered(pool, replica or pool, tokens, seconds, load, prompt, first or None)
        self.policy.observed(cls, took)

    def run(
        self, cls: TrafficClass, requests: int, load: Mapping[Pool, float] = IDLE
    ) -> list[Choice]:
        return [self.request(cls, load) for _ in range(requests)]


def share(choices: list[Choice], pool: Pool) -> float:
    return sum(choice.pool == pool for choice in choices) / len(choices)

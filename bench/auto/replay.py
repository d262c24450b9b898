"""Streams of recorded requests, answered by one strategy or another."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from bench.auto.timings import Asked, Timed, Timings
from server.speculation import Answered, AutoPolicy, TrafficClass
from server.usage import POOLS, Pool

BOTH = frozenset(POOLS)


@dataclass(frozen=True)
class Drawn:
    """One request of a stream: what it would take on either pool."""

    asked: Asked
    traffic: TrafficClass
    level: int
    times: Mapping[Pool, Timed]


@dataclass(frozen=True)
class Served:
    drawn: Drawn
    pool: Pool
    explored: bool = False

    @property
    def time(self) -> Timed:
        return self.drawn.times[self.pool]


@dataclass
class Spent:
    """Time and tokens of many answers: every token counts once."""

    ms: float = 0.0
    tokens: int = 0

    def add(self, time: Timed) -> None:
        self.ms += time.total_ms
        self.tokens += time.tokens

    @property
    def ms_per_token(self) -> float:
        """NaN if there were none."""
        return self.ms / self.tokens if self.tokens else math.nan


class Strategy(Protocol):
    def serve(self, stream: Sequence[Drawn]) -> list[Served]: ...


@dataclass(frozen=True)
class Always:
    pool: Pool

    def serve(self, stream: Sequence[Drawn]) -> list[Served]:
        return [Served(drawn, self.pool) for drawn in stream]


@dataclass(frozen=True)
class Oracle:
    """Knows which pool is faster by the whole recording, for each value of `key`."""

    better: Mapping[object, Pool]
    key: Callable[[Drawn], object]

    def serve(self, stream: Sequence[Drawn]) -> list[Served]:
        return [Served(drawn, self.better[self.key(drawn)]) for drawn in stream]


@dataclass(frozen=True)
class Auto:
    """The gateway's policy, new for each stream. As many answers are under way as were recorded."""

    seed: str

    def serve(self, stream: Sequence[Drawn]) -> list[Served]:
        clock = _Clock()
        policy = AutoPolicy(clock=clock, rng=random.Random(self.seed))
        under_way: deque[Served] = deque()
        served = []
        for drawn in stream:
            while len(under_way) >= drawn.level:
                _learn(policy, under_way.popleft())
            others = float(drawn.level - 1)
            choice = policy.choose(drawn.traffic, load=dict.fromkeys(POOLS, others), available=BOTH)
            one = Served(drawn, choice.pool, choice.explored)
            clock.now_s += one.time.total_ms / 1e3 / drawn.level
            under_way.append(one)
            served.append(one)
        return served


@dataclass
class _Clock:
    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


def _learn(policy: AutoPolicy, one: Served) -> None:
    took = Answered(
        one.pool,
        one.pool,
        one.time.tokens,
        one.time.total_ms / 1e3,
        float(one.drawn.level - 1),
        one.drawn.asked.prompt_tokens,
        one.time.first_ms / 1e3,
    )
    policy.observed(one.drawn.traffic, took)


@dataclass(frozen=True)
class Mix:
    """What a stream is made of."""

    requests: int
    open_share: float
    """Of requests that are open-ended; kinds of requests within each side come equally often."""
    levels: tuple[int, ...]
    """Concurrency; several take turns."""
    turn: int
    """Requests until the next level."""
    one_key: bool = False
    """All applications share an API key: text of any kind is then one class."""

    def stream(self, timings: Timings, rng: random.Random) -> list[Drawn]:
        """Prompts are drawn twice: which of them there are, then which comes next."""
        there = {
            name: rng.choices(prompts, k=len(prompts))
            for name, prompts in _by_workload(timings).items()
        }
        sides = {
            structured: sorted(
                n for n, prompts in there.items() if prompts[0].structured == structured
            )
            for structured in (False, True)
        }
        drawn = []
        for number in range(self.requests):
            asked = rng.choice(there[rng.choice(sides[rng.random() >= self.open_share])])
            level = self.levels[number // self.turn % len(self.levels)]
            times = {pool: rng.choice(found) for pool, found in asked.times[str(level)].items()}
            drawn.append(Drawn(asked, self.traffic(asked), level, times))
        return drawn

    def traffic(self, asked: Asked) -> TrafficClass:
        if not self.one_key:
            return asked.traffic
        return TrafficClass(tuple(name for name in asked.path if "@" not in name))


def _by_workload(timings: Timings) -> dict[str, list[Asked]]:
    found: dict[str, list[Asked]] = {}
    for asked in timings.prompts:
        found.setdefault(asked.workload, []).append(asked)
    return found


def class_of(drawn: Drawn) -> object:
    return str(drawn.traffic), drawn.level


def prompt_of(drawn: Drawn) -> object:
    return id(drawn.asked), drawn.level


def oracle(timings: Timings, mix: Mix, key: Callable[[Drawn], object]) -> Oracle:
    """The pool with the least time per token for each `key`, over everything recorded."""
    spent: dict[object, dict[Pool, Spent]] = {}
    for asked in timings.prompts:
        for level in mix.levels:
            times = asked.times[str(level)]
            any_of_them = {pool: found[0] for pool, found in times.items()}
            name = key(Drawn(asked, mix.traffic(asked), level, any_of_them))
            totals = spent.setdefault(name, {pool: Spent() for pool in POOLS})
            for pool, found in times.items():
                for one in found:
                    totals[pool].add(one)
    return Oracle({name: _faster(totals) for name, totals in spent.items()}, key)


def _faster(totals: Mapping[Pool, Spent]) -> Pool:
    return min(POOLS, key=lambda pool: totals[pool].ms_per_token)

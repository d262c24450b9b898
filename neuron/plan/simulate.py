"""Continuous batching over the cost model, event by event: arrivals, prefill, steps of K+1 rows.

An engine of the nxdi stack: a compiled batch whose steps take the same time however many slots are
in use, and whole prompts, one at a time, while all else waits. Requests go to the engine that holds
the fewest. Time is in ms.
"""

from __future__ import annotations

import math
import random
from collections import deque
from dataclasses import dataclass, field

WARM_SHARE = 0.1
"""Of the requests: they met an empty system and are not counted."""


@dataclass(frozen=True)
class Service:
    """One engine."""

    slots: int
    step_ms: float
    prefill_ms: float
    k: int
    """0: no drafts."""
    acceptance: float

    def tokens_per_step(self) -> float:
        return float(sum(self.acceptance**i for i in range(self.k + 1)))

    def tpot_ms(self) -> float:
        """At low load: nothing else is prefilled in between."""
        return self.step_ms / self.tokens_per_step()

    def saturation_per_s(self, output_tokens: float) -> float:
        """Requests that an engine finishes when all slots are always taken."""
        steps = (output_tokens - 1) / self.tokens_per_step()
        return 1000 / (self.prefill_ms + steps * self.step_ms / self.slots)


@dataclass(frozen=True)
class Traffic:
    rate_per_s: float
    """Poisson."""
    output_tokens: int
    spread: float = 0.25
    """Lengths are uniform within this share of `output_tokens` either way."""
    requests: int = 2000
    seed: int = 0


@dataclass(frozen=True)
class Outcome:
    ttft_mean_ms: float
    ttft_p95_ms: float
    tpot_mean_ms: float
    tpot_p95_ms: float
    """Of whole requests, others' prefills included."""
    finished_per_s: float
    """From the first arrival to the last token."""


@dataclass
class _Request:
    arrived: float
    tokens: int
    left: int = 0
    first: float = 0.0
    last: float = 0.0

    @property
    def tpot(self) -> float:
        return (self.last - self.first) / (self.tokens - 1)


@dataclass
class _Engine:
    service: Service
    rng: random.Random
    clock: float = 0.0
    waiting: deque[_Request] = field(default_factory=deque)
    running: list[_Request] = field(default_factory=list)

    @property
    def held(self) -> int:
        return len(self.waiting) + len(self.running)

    def take(self, request: _Request) -> None:
        if not self.held:
            self.clock = max(self.clock, request.arrived)
        self.waiting.append(request)

    def run(self, until: float) -> None:
        """Whatever starts before `until`; what has started is finished."""
        while self.held and self.clock < until:
            if self.waiting and len(self.running) < self.service.slots:
                self._prefill(self.waiting.popleft())
            else:
                self._step()

    def _prefill(self, request: _Request) -> None:
        self.clock += self.service.prefill_ms
        request.first = request.last = self.clock
        request.left = request.tokens - 1
        if request.left:
            self.running.append(request)

    def _step(self) -> None:
        self.clock += self.service.step_ms
        for request in self.running:
            request.left -= 1 + self._accepted()
            request.last = self.clock
        self.running = [request for request in self.running if request.left > 0]

    def _accepted(self) -> int:
        rate, k = self.service.acceptance, self.service.k
        if not k or rate <= 0:
            return 0
        if rate >= 1:
            return k
        # 1 − random() is never 0.
        return min(k, int(math.log(1 - self.rng.random()) / math.log(rate)))


def simulate(service: Service, traffic: Traffic, engines: int) -> Outcome:
    """The same seed gives the same answer."""
    rng = random.Random(traffic.seed)
    pool = [_Engine(service, rng) for _ in range(engines)]
    requests = _arrivals(traffic, rng)
    for request in requests:
        for engine in pool:
            engine.run(request.arrived)
        min(pool, key=lambda engine: engine.held).take(request)
    for engine in pool:
        engine.run(math.inf)
    return _outcome(requests)


def _arrivals(traffic: Traffic, rng: random.Random) -> list[_Request]:
    low = max(2, round(traffic.output_tokens * (1 - traffic.spread)))
    high = max(low, round(traffic.output_tokens * (1 + traffic.spread)))
    requests = []
    now = 0.0
    for _ in range(traffic.requests):
        now += rng.expovariate(traffic.rate_per_s) * 1000
        requests.append(_Request(now, rng.randint(low, high)))
    return requests


def _outcome(requests: list[_Request]) -> Outcome:
    counted = requests[int(len(requests) * WARM_SHARE) :]
    ttft = sorted(request.first - request.arrived for request in counted)
    tpot = sorted(request.tpot for request in counted)
    span_ms = max(request.last for request in requests) - requests[0].arrived
    return Outcome(
        ttft_mean_ms=sum(ttft) / len(ttft),
        ttft_p95_ms=ttft[math.ceil(0.95 * len(ttft)) - 1],
        tpot_mean_ms=sum(tpot) / len(tpot),
        tpot_p95_ms=tpot[math.ceil(0.95 * len(tpot)) - 1],
        finished_per_s=len(requests) / span_ms * 1000,
    )

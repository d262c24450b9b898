"""The `auto` policy: which pool a request goes to, and what its time teaches."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from server.speculation.answered import Answered
from server.speculation.arm import Sample
from server.speculation.belief import Belief, believed
from server.speculation.choice import Choice, preferred, settle
from server.speculation.classes import ClassState, ClassTable
from server.speculation.explore import wanted_share
from server.speculation.load import LoadCurve, scale
from server.speculation.pools import other, per_pool
from server.speculation.prefill import Prefill
from server.speculation.state import class_document, share
from server.speculation.traffic import ROOT, TrafficClass
from server.speculation.trust import Trust
from server.usage import POOLS, Pool

NEWCOMER = 8
"""Requests of a class that its wider class learns from too.

Only of newcomers, who all are on the pool that their wider class said: of older classes the
speculative pool would show those with good drafts, and the plain pool the others.
"""


FASTEST_S = 1e-6
"""Per token; less is a clock's fault."""


class AutoPolicy:
    """Not for threads. `clock` is monotonic, in seconds."""

    def __init__(
        self, *, clock: Callable[[], float], rng: random.Random, max_classes: int = 512
    ) -> None:
        self._clock = clock
        self._rng = rng
        self._table = ClassTable(max_classes)
        self._curves = per_pool(LoadCurve)
        self._prefill = Prefill()
        self._trust = Trust()

    def choose(
        self, cls: TrafficClass, *, load: Mapping[Pool, float], available: frozenset[Pool]
    ) -> Choice:
        """`load`: requests in flight per replica of a pool, this one not counted; 0 if left out.

        Raises ValueError if no pool is available.
        """
        if not available:
            raise ValueError("No pool is available; answer the request without asking.")
        path = self._table.path(cls.path, self._clock(), use=True)
        root, own = path[0], path[-1]
        for state in (root, own):
            state.requests += 1
            state.budget.earn()
        if len(available) == 1:
            return Choice(next(iter(available)), "only_pool", explored=False)
        belief = self._believed(path)
        current = settle(own, belief)
        # Both pools as busy as they are, where `belief` has them idle.
        now = belief.shifted(
            self._curves["speculative"].slowdown(load.get("speculative", 0.0))
            - self._curves["plain"].slowdown(load.get("plain", 0.0))
        )
        choice = preferred(own, current, belief, now)
        tried = other(choice.pool)
        if not self._explores(root, own, now, tried):
            return choice
        for state in (root, own):
            state.budget.spend()
            state.explored += 1
        return Choice(tried, "explore", explored=True)

    def observed(self, cls: TrafficClass, took: Answered) -> None:
        if took.tokens <= 0 or took.seconds <= 0:
            return
        if took.first_s is not None:
            self._prefill.learn(took.prompt_tokens, took.first_s)
        decode_s = self._prefill.without(took.seconds, took.prompt_tokens)
        sample = Sample(
            value=max(decode_s / took.tokens, FASTEST_S),
            tokens=took.tokens,
            load=scale(took.load),
            trust=self._trust.heard(took.replica),
        )
        path = self._table.path(cls.path, self._clock(), use=False)
        curve = self._curves[took.pool]
        curve.learn(path[-1].arms[took.pool], sample)
        for state in reversed(path):
            newcomer = state.observed < NEWCOMER
            state.take(took.pool, sample, curve.exponent)
            if not newcomer:
                return

    def snapshot(self) -> dict[str, Any]:
        """The document of `GET /v1/speculation`, JSON values only."""
        now_s = self._clock()
        for state in self._table:
            state.age(now_s)
        requests = sum(state.requests for state in self._table if state.name == ROOT)
        explored = sum(state.explored for state in self._table if state.name == ROOT)
        return {
            "policy": "auto",
            "requests": requests,
            "explored": explored,
            "explored_share": share(explored, requests),
            "classes_evicted": self._table.evicted,
            "prefill_seconds_per_prompt_token": self._prefill.rate,
            "load_exponent": {pool: self._curves[pool].exponent for pool in POOLS},
            "classes": [
                class_document(state, self._believed(self._table.around(state)))
                for state in sorted(self._table, key=lambda one: -one.used)
            ],
        }

    def _believed(self, path: Sequence[ClassState]) -> Belief:
        return believed(
            (state.arms for state in path),
            {pool: curve.exponent for pool, curve in self._curves.items()},
        )

    def _explores(self, root: ClassState, own: ClassState, now: Belief, tried: Pool) -> bool:
        if not (root.budget.allows and own.budget.allows):
            return False
        return self._rng.random() < wanted_share(tried, now)

"""What is kept of a class, and a bounded table of that: the least used makes room for a new one."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from server.speculation.arm import HALF_LIFE_S, MEMORY, Arm, Sample
from server.speculation.explore import ROOT_SHARE, ROOT_START, SHARE, START, Budget
from server.speculation.pools import per_pool
from server.speculation.traffic import ROOT
from server.usage import Pool

MIN_CLASSES = 16
"""Room for the widest classes, which every request uses, and some of their own."""
_FADE = math.exp(-1 / MEMORY)
_LIGHTEST, _HEAVIEST = 0.25, 2.0


@dataclass
class ClassState:
    name: str
    budget: Budget
    arms: Mapping[Pool, Arm] = field(default_factory=lambda: per_pool(Arm))
    within: tuple[str, ...] = ()
    """The wider classes around it, widest first, as of its latest request."""
    current: Pool | None = None
    """The pool that it stays on until the other is shown to be faster."""
    requests: int = 0
    explored: int = 0
    samples: dict[Pool, int] = field(default_factory=lambda: per_pool(int))
    """Requests that were observed, ever."""
    mean_tokens: float = 0.0
    used: float = 0.0
    """Requests of it and of the classes inside it, fading with time."""
    aged_s: float = 0.0

    @property
    def observed(self) -> int:
        return sum(self.samples.values())

    def age(self, now_s: float) -> None:
        factor = self._left_of_past(now_s)
        self.aged_s = max(now_s, self.aged_s)
        self.used *= factor
        self._forget(factor)

    def used_at(self, now_s: float) -> float:
        return self.used * self._left_of_past(now_s)

    def take(self, pool: Pool, sample: Sample, exponent: float) -> None:
        self.samples[pool] += 1
        # Whichever pool served it: the past of both fades alike.
        self._forget(_FADE)
        self.arms[pool].add(sample, sample.trust * self._weight(sample.tokens), exponent)

    def _weight(self, tokens: int) -> float:
        """1 for an answer of the usual length: a mean over tokens, no answer outvoting the rest."""
        usual = self.mean_tokens or float(tokens)
        self.mean_tokens = usual + (tokens - usual) / min(self.observed, MEMORY)
        return min(max(tokens / self.mean_tokens, _LIGHTEST), _HEAVIEST)

    def _left_of_past(self, now_s: float) -> float:
        return float(0.5 ** (max(now_s - self.aged_s, 0.0) / HALF_LIFE_S))

    def _forget(self, factor: float) -> None:
        for arm in self.arms.values():
            arm.forget(factor)


class ClassTable:
    """By name; never more than `max_classes`, the wider classes included."""

    def __init__(self, max_classes: int) -> None:
        if max_classes < MIN_CLASSES:
            raise ValueError(f"max_classes is {max_classes}; at least {MIN_CLASSES} are needed.")
        self._max = max_classes
        self._states: dict[str, ClassState] = {}
        self.evicted = 0

    def __iter__(self) -> Iterator[ClassState]:
        return iter(self._states.values())

    def __len__(self) -> int:
        return len(self._states)

    def path(self, names: tuple[str, ...], now_s: float, *, use: bool) -> list[ClassState]:
        """The states of all `names`, new where there are none; `use` keeps them from eviction."""
        states = [self._state(name, now_s, names) for name in names]
        for depth, state in enumerate(states):
            state.within = names[:depth]
            state.age(now_s)
            state.used += use
        return states

    def around(self, state: ClassState) -> list[ClassState]:
        """`state` and the wider classes around it that are still kept, widest first."""
        kept = (self._states.get(name) for name in state.within)
        return [*(one for one in kept if one is not None), state]

    def _state(self, name: str, now_s: float, needed: Collection[str]) -> ClassState:
        state = self._states.get(name)
        if state is None:
            if len(self._states) >= self._max:
                self._evict(now_s, needed)
            budget = Budget(ROOT_START, ROOT_SHARE) if name == ROOT else Budget(START, SHARE)
            state = self._states[name] = ClassState(name, budget, aged_s=now_s)
        return state

    def _evict(self, now_s: float, needed: Collection[str]) -> None:
        least = min(
            (state for state in self._states.values() if state.name not in needed),
            key=lambda state: state.used_at(now_s),
        )
        del self._states[least.name]
        self.evicted += 1

"""From a belief to a pool, leaving exploration aside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from server.speculation.belief import Belief
from server.speculation.classes import ClassState
from server.speculation.pools import other
from server.usage import Pool

Standing = Literal["measured", "held", "inherited"]
Reason = Literal["only_pool", "explore", "load", Standing]

DEFAULT: Pool = "speculative"
"""Where a class starts if nothing is known at all: somebody pays for the drafts."""


@dataclass(frozen=True, slots=True)
class Choice:
    pool: Pool
    reason: Reason
    explored: bool
    """Sent to the pool that looks slower, to learn."""


def settle(own: ClassState, belief: Belief) -> Pool:
    """The pool that the class is on, after a switch if the other is shown to be faster."""
    if own.current is None:
        own.current = "plain" if belief.log_ratio > 0 else DEFAULT
    elif belief.shows_slower(own.current):
        own.current = other(own.current)
    return own.current


def standing(own: ClassState, current: Pool, belief: Belief) -> Standing:
    """Why it is on `current`."""
    if not all(own.samples.values()):
        return "inherited"
    return "measured" if belief.shows_slower(other(current)) else "held"


def preferred(own: ClassState, current: Pool, belief: Belief, now: Belief) -> Choice:
    """`now` is `belief` at the present load, for which alone a request leaves the class's pool."""
    if now.shows_slower(current):
        return Choice(other(current), "load", explored=False)
    return Choice(current, standing(own, current, belief), explored=False)

"""How much work one check may cost: a client writes the schema, the pattern and half the answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import regex

from server.structured.fault import TooCostlyError


@dataclass(frozen=True)
class Limits:
    evaluations: int
    """Of schema keywords; about 10 µs each."""
    pattern_s: float
    """For one match of one pattern."""


# On the event loop: about as long as one step of an engine.
QUICK = Limits(evaluations=500, pattern_s=0.005)
# In a thread.
THOROUGH = Limits(evaluations=50_000, pattern_s=0.5)


class _Spent:
    def __init__(self, limits: Limits) -> None:
        self.left = limits.evaluations
        self.pattern_s = limits.pattern_s


_current: ContextVar[_Spent] = ContextVar("spent")


@contextmanager
def within(limits: Limits) -> Iterator[None]:
    """What is in it raises TooCostlyError where it goes over them."""
    token = _current.set(_Spent(limits))
    try:
        yield
    except RecursionError as error:
        raise TooCostlyError from error
    finally:
        _current.reset(token)


def spend(evaluations: int = 1) -> None:
    spent = _current.get()
    spent.left -= evaluations
    if spent.left < 0:
        raise TooCostlyError


def searches(pattern: str, text: str) -> bool:
    return _matched(pattern, text, whole=False)


def matches_all(pattern: str, text: str) -> bool:
    return _matched(pattern, text, whole=True)


def _matched(pattern: str, text: str, *, whole: bool) -> bool:
    compiled = regex.compile(pattern)
    match = compiled.fullmatch if whole else compiled.search
    try:
        # concurrent: the lock of the interpreter is let go meanwhile.
        return match(text, timeout=_current.get().pattern_s, concurrent=True) is not None
    except TimeoutError as error:
        raise TooCostlyError from error

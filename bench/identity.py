"""Whether greedy output is the same on both arms, and where it first differs."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest

Tokens = tuple[int, ...]
Key = tuple[int, int]
"""(prompt, repeat)"""


@dataclass(frozen=True)
class Divergence:
    prompt: int
    repeat: int
    position: int
    base_token: int | None
    other_token: int | None
    base_stable: bool
    """The base arm gave this prompt the same tokens every time: the difference is no tie."""


@dataclass(frozen=True)
class Identity:
    compared: int
    divergences: tuple[Divergence, ...]

    @property
    def same(self) -> int:
        return self.compared - len(self.divergences)

    @property
    def lossless(self) -> bool:
        return not any(found.base_stable for found in self.divergences)


def first_difference(base: Tokens, other: Tokens) -> int | None:
    """Index of the first token that differs or that only one side has; `None` if equal."""
    pairs = enumerate(zip_longest(base, other))
    return next((index for index, (a, b) in pairs if a != b), None)


def compare(base: Mapping[Key, Tokens], other: Mapping[Key, Tokens]) -> Identity:
    spoken: dict[int, set[Tokens]] = {}
    for (prompt, _), tokens in base.items():
        spoken.setdefault(prompt, set()).add(tokens)
    shared = sorted(base.keys() & other.keys())
    found: list[Divergence] = []
    for key in shared:
        position = first_difference(base[key], other[key])
        if position is not None:
            found.append(
                Divergence(
                    prompt=key[0],
                    repeat=key[1],
                    position=position,
                    base_token=_at(base[key], position),
                    other_token=_at(other[key], position),
                    base_stable=len(spoken[key[0]]) == 1,
                )
            )
    return Identity(len(shared), tuple(found))


def _at(tokens: Tokens, position: int) -> int | None:
    return tokens[position] if position < len(tokens) else None

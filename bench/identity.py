"""Whether greedy output is the same on both arms, where it first differs, and what kind that is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest
from typing import Literal

from bench.record import Launched, Probe

Tokens = tuple[int, ...]
Key = tuple[int, int]
"""(prompt, repeat)"""
Kind = Literal["tie", "fault", "varies"]

TIE_NATS = {"float32": 1e-3}
TIE_NATS_COARSE = 0.25
"""bfloat16 keeps 8 bits: a logit of 16 to 32 is a multiple of 1/8, and two of them may round apart.
Taken for every type that is not known to be float32."""


@dataclass(frozen=True)
class Divergence:
    prompt: int
    repeat: int
    position: int
    base_token: int | None
    other_token: int | None
    base_stable: bool
    """The base arm gave this prompt the same tokens every time."""
    kind: Kind
    """tie: the plain engine rates both tokens alike there; fault: it does not; varies: it was not
    asked, and gave this prompt different tokens itself."""
    gap_nats: float | None
    """The plain engine's log probability of its own token there, minus that of the other;
    at least this much where the other was not among those it lists. `None`: not asked."""


@dataclass(frozen=True)
class Identity:
    compared: int
    divergences: tuple[Divergence, ...]

    @property
    def same(self) -> int:
        return self.compared - len(self.divergences)

    def of_kind(self, kind: Kind) -> int:
        return sum(found.kind == kind for found in self.divergences)

    @property
    def lossless(self) -> bool:
        return not self.of_kind("fault")


def tie_nats(engines: Sequence[Launched]) -> float:
    """By the type that the plain engine was started with; coarse if we did not start it."""
    argv = next((one.argv for one in engines if one.arm == "plain"), ())
    dtype = dict(pairwise(argv)).get("--dtype", "")
    return TIE_NATS.get(dtype, TIE_NATS_COARSE)


def first_difference(base: Tokens, other: Tokens) -> int | None:
    """Index of the first token that differs or that only one side has; `None` if equal."""
    pairs = enumerate(zip_longest(base, other))
    return next((index for index, (a, b) in pairs if a != b), None)


def gap_nats(probe: Probe) -> float | None:
    if probe.base_logprob is None:
        return None
    other = probe.least_logprob if probe.other_logprob is None else probe.other_logprob
    return probe.base_logprob - other


def compare(
    base: Mapping[Key, Tokens],
    other: Mapping[Key, Tokens],
    probes: Mapping[Key, Probe] | None = None,
    tie_nats: float = TIE_NATS_COARSE,
) -> Identity:
    """`probes` are by the key of the other answer."""
    spoken: dict[int, set[Tokens]] = {}
    for (prompt, _), tokens in base.items():
        spoken.setdefault(prompt, set()).add(tokens)
    shared = sorted(base.keys() & other.keys())
    found: list[Divergence] = []
    for key in shared:
        position = first_difference(base[key], other[key])
        if position is None:
            continue
        stable = len(spoken[key[0]]) == 1
        probe = (probes or {}).get(key)
        gap = gap_nats(probe) if probe is not None and probe.position == position else None
        found.append(
            Divergence(
                prompt=key[0],
                repeat=key[1],
                position=position,
                base_token=_at(base[key], position),
                other_token=_at(other[key], position),
                base_stable=stable,
                kind=_kind(gap, tie_nats, stable=stable),
                gap_nats=gap,
            )
        )
    return Identity(len(shared), tuple(found))


def halves(base: Mapping[Key, Tokens]) -> tuple[dict[Key, Tokens], dict[Key, Tokens]]:
    """The control: one arm's even repeats as base, the odd ones after them as the other."""
    even = {(prompt, repeat + 1): one for (prompt, repeat), one in base.items() if not repeat % 2}
    odd = {(prompt, repeat): one for (prompt, repeat), one in base.items() if repeat % 2}
    return even, odd


def _kind(gap: float | None, tie_nats: float, *, stable: bool) -> Kind:
    if gap is None:
        return "fault" if stable else "varies"
    return "tie" if abs(gap) <= tie_nats else "fault"


def _at(tokens: Tokens, position: int) -> int | None:
    return tokens[position] if position < len(tokens) else None

"""One row per printed figure: what a program printed, and ours of the same round."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import isclose
from statistics import fmean

from bench.crosscheck.definitions import (
    Defined,
    OfBlock,
    Pool,
    Samples,
    Sent,
    e2e,
    interpolated,
    tpot,
    ttft,
)
from bench.crosscheck.judge import Ratio, Verdict, geometric, ratio
from bench.crosscheck.programs import SHOWN, Program
from bench.crosscheck.run import CrossCheck
from bench.errors import UnusableError
from bench.timing import step_gaps_ms

BENCH = "bench, again"
OWN: dict[str, Samples] = {"ttft": ttft, "tpot": tpot, "step gap": step_gaps_ms, "E2E": e2e}

Block = Sequence[Sent]
Figure = Callable[[Block], float]


@dataclass(frozen=True)
class Row:
    program: str
    figure: str
    theirs: float
    """Geometric mean over rounds of what was printed, as `ours` is of our two blocks around it."""
    ours: float
    """From our events, by the program's definition."""
    own: float | None
    """Ours of the series that a reader would set beside it; `None` where there is none."""
    own_name: str | None
    ratio: Ratio
    same: bool | None = None
    """Of a count: whether both are equal in every round; `None` for what has noise."""

    @property
    def verdict(self) -> Verdict:
        if self.same is None:
            return self.ratio.verdict
        return "agrees" if self.same else "differs"


def rows(found: CrossCheck) -> list[Row]:
    """Ours against ours first. Raises UnusableError where a figure has no samples."""
    return [*_again(found), *(row for one in found.programs for row in _of(found, one))]


def _again(found: CrossCheck) -> Iterator[Row]:
    for name, samples in OWN.items():
        for shown in SHOWN:
            figure = pooled(samples, interpolated, shown)
            first = [figure(one.first) for one in found.rounds]
            last = [figure(one.last) for one in found.rounds]
            yield Row(
                BENCH, f"{name} {shown}", geometric(last), geometric(first), None, None,
                ratio(last, first),
            )  # fmt: skip


def _of(found: CrossCheck, program: Program) -> Iterator[Row]:
    for one in program.series:
        for shown in SHOWN:
            yield _row(
                found, program, f"{one.name} {shown}", pooled(one.samples, program.pool, shown),
                own=(one, pooled(one.own, interpolated, shown)),
            )  # fmt: skip
    for whole in program.of_block:
        if whole.count:
            yield _count(found, program, whole)
        else:
            yield _row(found, program, whole.name, whole.figure)


def _row(
    found: CrossCheck,
    program: Program,
    name: str,
    figure: Figure,
    own: tuple[Defined, Figure] | None = None,
) -> Row:
    theirs = _printed(found, program, name)
    ours = _around(found, figure)
    return Row(
        program.name, name, geometric(theirs), geometric(ours),
        None if own is None else geometric(_around(found, own[1])),
        None if own is None else own[0].own_name,
        ratio(theirs, ours),
    )  # fmt: skip


def _count(found: CrossCheck, program: Program, of: OfBlock) -> Row:
    theirs = _printed(found, program, of.name)
    ours = [(of.figure(one.first), of.figure(one.last)) for one in found.rounds]
    return Row(
        program.name, of.name, fmean(theirs), fmean(map(fmean, ours)), None, None,
        ratio(theirs, [fmean(one) for one in ours]),
        same=all(
            isclose(told, first) and isclose(told, last)
            for told, (first, last) in zip(theirs, ours, strict=True)
        ),
    )  # fmt: skip


def _printed(found: CrossCheck, program: Program, name: str) -> list[float]:
    return [one.printed[program.name][name] for one in found.rounds]


def _around(found: CrossCheck, figure: Figure) -> list[float]:
    """Of each round: the mean of both of our blocks, each as long as a program's."""
    return [geometric([figure(one.first), figure(one.last)]) for one in found.rounds]


def pooled(samples: Samples, pool: Pool, shown: str) -> Figure:
    def figure(block: Block) -> float:
        every = [value for one in block for value in samples(one.reply)]
        if not every:
            raise UnusableError("Answers of one chunk have no time per token: raise --max-tokens.")
        return pool(every)[shown]

    return figure

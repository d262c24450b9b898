"""One request on both sides: how its tokens came, and how long each step took."""

from dataclasses import dataclass

from matplotlib.axes import Axes

from bench import timing
from bench.arm_facts import usable
from bench.plots.picture import PLAIN, SPECULATIVE, Picture, blank, clean
from bench.record import Measured, Result
from bench.summary import Row, Summary
from bench.words import SAID

MAX_LABELS = 60
"""Of more steps than this, the numbers of tokens would lie on each other."""


@dataclass(frozen=True)
class _Pair:
    base: Measured
    other: Measured


def step_gap_timeline(result: Result, summary: Summary) -> Picture | None:
    """`None` if no prompt has two chunks on both sides."""
    row = _typical(summary)
    found = None if row is None else _chosen(result, row)
    if row is None or found is None:
        return None
    figure = blank(8.4, 5.2)
    tokens, gaps = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    sides = (
        (found.base, "plain", PLAIN, "o"),
        (found.other, SAID[result.other], SPECULATIVE, "s"),
    )
    clean(tokens, "tokens received")
    clean(gaps, "step gap: ms since the chunk before; the number is the tokens that came")
    for one, name, color, marker in sides:
        _received(tokens, one, name, color)
        _gaps(gaps, one, color, marker)
    for axes in (tokens, gaps):
        axes.grid(color="#dee2e6", linewidth=0.6)
        axes.set_ylim(0, 1.15 * axes.get_ylim()[1])
    gaps.set_xlim(left=0)
    gaps.set_xlabel("ms since the request was written")
    tokens.set_ylabel("tokens")
    gaps.set_ylabel("ms")
    tokens.legend(frameon=False, loc="lower right")
    where = (
        f"{row.workload} at {result.settings.level(row.concurrency)}, prompt {found.other.prompt}, "
        f"repeat {found.other.repeat}"
    )
    says = (
        f"{where}: of this workload, the request whose ratio of times per token is nearest to the "
        "middle one. Above, a line's slope is its speed; below, a mark is a step."
    )
    if result.kind == "speedup":
        says += " With speculation a step takes longer and brings several tokens."
    return Picture("Step gaps of one request", says, figure)


def _typical(summary: Summary) -> Row | None:
    """The structured row of the middle speedup, or any where none is structured."""
    rows = [row for row in summary.rows if row.structured] or list(summary.rows)
    ordered = sorted(rows, key=lambda row: row.speedup.value)
    return ordered[len(ordered) // 2] if ordered else None


def _chosen(result: Result, row: Row) -> _Pair | None:
    sides: dict[tuple[int, int], dict[str, Measured]] = {}
    for one in usable(result.cell(row.workload, row.concurrency)):
        if timing.tpot_ms(one.reply) is not None:
            sides.setdefault((one.prompt, one.repeat), {})[one.arm] = one
    pairs = [
        _Pair(found[result.base], found[result.other])
        for found in sides.values()
        if result.base in found and result.other in found
    ]
    ordered = sorted(pairs, key=_ratio)
    return ordered[len(ordered) // 2] if ordered else None


def _ratio(pair: _Pair) -> float:
    base, other = timing.tpot_ms(pair.base.reply), timing.tpot_ms(pair.other.reply)
    return (base or 0.0) / other if other else 0.0


def _received(axes: Axes, one: Measured, name: str, color: str) -> None:
    arrivals, total = [0.0], [0]
    for chunk in one.reply.chunks:
        arrivals.append(chunk.at_ns / timing.MS)
        total.append(total[-1] + chunk.tokens)
    tpot = timing.tpot_ms(one.reply)
    label = f"{name}: {total[-1]} tokens, {len(one.reply.chunks)} chunks, {tpot:.1f} ms a token"
    axes.step(arrivals, total, where="post", color=color, linewidth=1.8, label=label)


def _gaps(axes: Axes, one: Measured, color: str, marker: str) -> None:
    gaps = timing.step_gaps_ms(one.reply)
    later = one.reply.chunks[1:]
    arrivals = [chunk.at_ns / timing.MS for chunk in later]
    axes.vlines(arrivals, 0, gaps, color=color, linewidth=0.8, alpha=0.5)
    axes.plot(arrivals, gaps, marker, color=color, markersize=4)
    if len(later) > MAX_LABELS or all(chunk.tokens == 1 for chunk in later):
        return
    for at, gap, chunk in zip(arrivals, gaps, later, strict=True):
        axes.annotate(
            str(chunk.tokens), (at, gap), (0, 4), textcoords="offset points", ha="center",
            fontsize=7.5, color=color,
        )  # fmt: skip

"""Where speculation pays: what a step costs against what it emits, and the speedups of a sweep."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm

from bench.breakeven import Point
from bench.plots.picture import LEVELS, LINE, MUTED, Picture, blank, clean

MAP_SAYS = (
    "A mark is one workload at one K (the number beside it). Across: what a step with drafts "
    "costs, in plain steps. Up: how many tokens it emits. Above the black line, emitting more than "
    "it costs, speculation pays; each grey line is a speedup. More drafts move a mark right, "
    "and up as far as they are accepted. What is invalid is not drawn."
)
GRID_SAYS = (
    "The same as speedups: blue is faster, red slower. A number in brackets is not shown to differ "
    "from 1, or invalid; a dash is not there."
)
MARKERS = "osD^vP*X<>"
RATIOS = (0.5, 1, 2, 3, 4, 6, 8)


Panel = tuple[str | None, str, float | None, bool]


def _panel(one: Point) -> Panel:
    return one.draft, one.level, one.temperature, one.guided


def _columns(found: Sequence[Point]) -> list[Panel]:
    return list(dict.fromkeys(map(_panel, found)))


def _title(key: Panel, found: Sequence[Point]) -> str:
    """What tells a panel from the others: the load, and what else was swept."""
    draft, level, temperature, guided = key
    parts = [level]
    if len({one.draft for one in found}) > 1 and draft:
        parts.append(draft.rpartition("/")[2])
    if temperature is not None:
        parts.append(f"temperature {temperature:g}")
    if guided:
        parts.append("guided")
    return ", ".join(parts)


def break_even_map(found: Sequence[Point]) -> Picture | None:
    """`None` if every point is invalid."""
    found = [one for one in found if one.verdict != "invalid"]
    if not found:
        return None
    keys = _columns(found)
    across = min(2, len(keys))
    down = -(-len(keys) // across)
    figure = blank(4.6 * across + 1.6, 4.2 * down)
    names = list(dict.fromkeys(one.workload for one in found))
    right = 1.12 * max(1.0, *(one.break_even for one in found))
    top = 1.12 * max(1.0, *(one.tokens_per_step for one in found))
    for place, key in enumerate(keys, start=1):
        axes = clean(figure.add_subplot(down, across, place), _title(key, found))
        _ratios(axes, right, top)
        for name in names:
            mine = [one for one in found if one.workload == name and _panel(one) == key]
            _marks(axes, mine, name, names.index(name))
        axes.set_xlabel("break-even: cost of a step, in plain steps")
        axes.set_ylabel("tokens per step")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside right upper", frameon=False, title="workload", fontsize=8.5
    )
    return Picture("Break-even map", MAP_SAYS, figure)


def _ratios(axes: Axes, right: float, top: float) -> None:
    axes.set_xlim(0, right)
    axes.set_ylim(0, top)
    axes.fill_between([0, right], [0, right], 0, color="#fff5f5", zorder=0)
    for ratio in RATIOS:
        end = min(right, top / ratio)
        color = LINE if ratio == 1 else "#ced4da"
        axes.plot([0, end], [0, ratio * end], color=color, linewidth=1.2 if ratio == 1 else 0.8)
        axes.annotate(
            f"{ratio:g}x", (end, ratio * end), (-3, -3), textcoords="offset points", ha="right",
            va="top", fontsize=7.5, color=LINE if ratio == 1 else MUTED,
        )  # fmt: skip


def _marks(axes: Axes, mine: Sequence[Point], name: str, index: int) -> None:
    ordered = sorted(mine, key=lambda one: one.k or 0)
    across = [one.break_even for one in ordered]
    up = [one.tokens_per_step for one in ordered]
    color = LEVELS[index % len(LEVELS)]
    control = any(not one.structured for one in mine)
    axes.plot(
        across, up, MARKERS[index % len(MARKERS)], color=color, markersize=6, linewidth=0.9,
        linestyle=":" if control else "-", label=f"{name} (control)" if control else name,
        markerfacecolor="white" if control else color,
    )  # fmt: skip
    for one, x, y in zip(ordered, across, up, strict=True):
        if one.k is not None:
            axes.annotate(
                str(one.k), (x, y), (5, 4), textcoords="offset points", fontsize=7.5, color=color
            )


def speedup_grid(found: Sequence[Point]) -> Picture:
    """Workloads down, K across, a panel for each load."""
    keys = _columns(found)
    names = list(dict.fromkeys(one.workload for one in found))
    ks = sorted({one.k for one in found}, key=lambda k: k or 0)
    values = {(one.workload, one.k, _panel(one)): one for one in found}
    figure = blank(max(4.5, 1.6 + (0.75 * len(ks) + 0.5) * len(keys)), 1.3 + 0.34 * len(names))
    panels = figure.subplots(1, len(keys), squeeze=False, sharey=True)[0]
    norm = TwoSlopeNorm(0, *_range([one.speedup.value for one in found]))
    for axes, key in zip(panels, keys, strict=True):
        clean(axes, _title(key, found))
        shown = [[values.get((name, k, key)) for k in ks] for name in names]
        colors = np.array([[np.log2(p.speedup.value) if p else np.nan for p in r] for r in shown])
        axes.imshow(colors, cmap="RdYlBu", norm=norm, aspect="auto", alpha=0.75)
        for (down, across), point in np.ndenumerate(np.array(shown, dtype=object)):
            axes.text(across, down, _said(point), ha="center", va="center", fontsize=8.5)
        axes.set_xticks(range(len(ks)), ["" if k is None else str(k) for k in ks])
        axes.set_yticks(range(len(names)), names)
        axes.set_xlabel("K")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    return Picture("Speedup by K", GRID_SAYS, figure)


def _range(speedups: Sequence[float]) -> tuple[float, float]:
    """Of the colours, as powers of 2 around no change."""
    logs = np.log2(speedups)
    widest = 1.3 * max(1.0, float(np.abs(logs).max()))
    return -widest, widest


def _said(point: Point | None) -> str:
    if point is None:
        return "–"
    text = f"{point.speedup.value:.2f}x"
    return f"({text})" if point.verdict in ("not shown", "invalid") else text

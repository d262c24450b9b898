"""A comparison in print, and what must be read with it."""

from collections.abc import Iterator, Sequence

from bench.comparable import Difference
from bench.compare import Compared, Comparison
from bench.report import printed
from bench.series import ALL
from bench.tables import Grid
from bench.verdict import equivalent, in_words
from bench.words import ratio

TITLES: dict[Difference, str] = {
    "subject": "Not the same in both",
    "versions": "Versions that are not the same",
    "machine": "Not the same machine",
}


def render_comparison(
    names: tuple[str, str], found: Comparison, differ: Sequence[tuple[Difference, str]]
) -> str:
    head = f"first {names[0]}, second {names[1]}: above 1 the second is faster"
    return printed((head, comparison_grid(found), *comparison_notes(found, differ)))


def comparison_grid(found: Comparison) -> Grid:
    return Grid(
        ("workload", "load", "prompts", "plain TPOT, first / second",
         "spec. TPOT, first / second", "spec. E2E, first / second", "speedup, second / first",
         "accept. length", "same answers", "verdict"),
        ([_cells(row) for row in found.rows],),
    )  # fmt: skip


def _cells(row: Compared) -> list[str]:
    return [
        row.workload,
        row.level,
        str(row.prompts),
        ratio(row.plain),
        ratio(row.speculative),
        ratio(row.whole),
        ratio(row.gain),
        f"{row.acceptance[0]:.2f} → {row.acceptance[1]:.2f}" if row.acceptance else "",
        "" if row.same_answers is None else f"{row.same_answers}/{row.prompts}",
        in_words(row.verdict, row.gain),
    ]


def comparison_notes(found: Comparison, differ: Sequence[tuple[Difference, str]]) -> Iterator[str]:
    for what, title in TITLES.items():
        told = [text for kind, text in differ if kind == what]
        if told:
            yield f"{title}: {'; '.join(told)}."
    if found.missing:
        yield f"Not compared: {'; '.join(found.missing)}."
    moved = [row for row in found.rows if not equivalent(row.plain)]
    if moved:
        yield (
            f"The plain engine is not shown to be within 5 % of itself on {len(moved)} of "
            f"{len(found.rows)} rows, first {moved[0].workload} {ratio(moved[0].plain)}: machine, "
            "load or engine may not have been the same. What both engines of a run share is not "
            "in the speedup's ratio; it is in the two others."
        )
    parted = [row for row in found.rows if _parted(row)]
    if parted:
        yield (
            f"Time per token and whole time do not agree on {len(parted)} of {len(found.rows)} "
            f"rows, first {parted[0].workload}: TPOT {ratio(parted[0].speculative)}, E2E "
            f"{ratio(parted[0].whole)}. TPOT begins with the first chunk: where that comes sooner "
            "or holds other tokens, the same work has another TPOT. What a user waits for is E2E."
        )
    yield (
        "TPOT and E2E ratios are of medians over the prompts of both results; speedup = plain "
        "TPOT / speculative TPOT of one run; verdict by the speedups' ratio. Intervals: "
        f"{ALL['interval'].says}; a prompt is drawn for both results at once. They say nothing of "
        "what another run on another day would give."
    )


def _parted(row: Compared) -> bool:
    """Of the speculative engines: one is shown slower, and the other not."""
    return (row.speculative.high < 1) != (row.whole.high < 1)

"""Many runs from one command: drafts, K, temperatures and loads crossed; stopped, it goes on."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby, product
from pathlib import Path
from typing import Final, Literal

from pydantic import ValidationError

from bench.busy import WATCH_S
from bench.engines import Say, Starter, start_process
from bench.errors import UsageProblemError
from bench.events import Fact
from bench.experiment import Observer
from bench.record import Result, Settings
from bench.run import Urls, arms_of, compare_arms
from bench.settings import OPEN_LOOP, Arrivals
from bench.storage import read, replace_file
from neuron.pair import Pair

SWEEP_VERSION: Final = 1
INDEX = "sweep.json"


class Cell(Fact):
    """One run of the sweep and the file that its result goes to, in the sweep's folder."""

    draft: str | None
    """`None` where engines that ran already are measured, also for `k`."""
    k: int | None
    settings: Settings
    file: str


class Sweep(Fact):
    """The index file. Which cells are done is said by the files that are there."""

    kind: Literal["sweep"] = "sweep"
    sweep_version: Literal[1] = SWEEP_VERSION
    source: str
    """The pair's name, or the engines' addresses."""
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Axes:
    drafts: tuple[str | None, ...]
    ks: tuple[int | None, ...]
    temperatures: tuple[float | None, ...]
    concurrency: tuple[int, ...]
    arrivals: tuple[Arrivals, ...]
    guided: tuple[bool, ...] = (False,)

    def cells(self, base: Settings) -> Iterator[Cell]:
        """Those that need the same engines stand together."""
        loads = [*((c, None) for c in self.concurrency), *((OPEN_LOOP, a) for a in self.arrivals)]
        crossed = product(self.drafts, self.ks, self.temperatures, self.guided, loads)
        for number, (draft, k, temperature, guided, (concurrency, arrivals)) in enumerate(crossed):
            update = {
                "concurrency": (concurrency,),
                "arrivals": arrivals,
                "temperature": temperature,
                "guided": guided,
            }
            yield Cell(
                draft=draft, k=k, settings=base.model_copy(update=update),
                file=f"cell-{number:03d}.json",
            )  # fmt: skip


PairOf = Callable[[str | None, int | None], Pair]


def opened(folder: Path, wanted: Sweep) -> Sweep:
    """Writes the index, or finds the same one there. Raises UsageProblemError for another."""
    path = folder / INDEX
    if not path.exists():
        replace_file(path, wanted.model_dump_json(indent=1))
        return wanted
    if read_sweep(path) != wanted:
        raise UsageProblemError(
            f"--out {folder} holds another sweep: give the options that it was begun with, or "
            "another folder."
        )
    return wanted


def read_sweep(path: Path) -> Sweep:
    try:
        return Sweep.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UsageProblemError(f"{path}: {error.strerror}.") from error
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"])) or "the file"
        raise UsageProblemError(f"{path} is no sweep: {where}: {fault['msg']}.") from error


def done(sweep: Sweep, folder: Path) -> list[tuple[Cell, Result]]:
    """Whole results only, in the sweep's order."""
    found = []
    for cell in sweep.cells:
        path = folder / cell.file
        if path.exists():
            result = read(path)
            if result.settings != cell.settings:
                raise UsageProblemError(
                    f"{path} was measured with other settings than the sweep's: remove it."
                )
            found.append((cell, result))
    return found


async def run_sweep(
    sweep: Sweep,
    folder: Path,
    source: Urls | PairOf,
    say: Say,
    observe: Observer,
    start: Starter = start_process,
    watch_s: float = WATCH_S,
) -> None:
    """Measures the cells that have no file yet; each is written when it is whole."""
    left = [cell for cell in sweep.cells if not (folder / cell.file).exists()]
    say(f"{len(sweep.cells) - len(left)} of {len(sweep.cells)} cells are there already")
    for (draft, k), cells in groupby(left, key=lambda cell: (cell.draft, cell.k)):
        engines = source if isinstance(source, Urls) else source(draft, k)
        pair = engines if isinstance(engines, Pair) else None
        async with arms_of(engines, say, start) as arms:
            for cell in cells:
                level = cell.settings.level(cell.settings.concurrency[0])
                guided = ", guided" if cell.settings.guided else ""
                say(f"cell {cell.file}: draft {draft}, K {k}, {level}{guided}")
                result = await compare_arms(
                    "speedup", arms, pair, cell.settings, observe, watch_s=watch_s
                )
                replace_file(folder / cell.file, result.model_dump_json())

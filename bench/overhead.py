"""What the gateway adds to an engine, measured on one engine with and without it."""

import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from io import StringIO

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from bench import timing
from bench.busy import WATCH_S
from bench.child import log_folder, ready_child
from bench.client import Target
from bench.engines import Running, Say, Starter, free_port, launched, start_process
from bench.experiment import Observer
from bench.notes import early_end, origin
from bench.record import Launched, Measured, Reply, Result, Settings
from bench.report import WIDTH
from bench.run import Keep, compare_arms, forget
from bench.stats import MIN_PROMPTS, Estimate, Paired, median_difference
from neuron.pair import Pair

GATEWAY_READY_S = 120.0


@dataclass(frozen=True)
class Overhead:
    """How much later, in ms, the same chunk came through the gateway.

    Medians over pairs: one prompt and repeat, the same tokens in the same chunks on both sides.
    """

    workload: str
    concurrency: int
    pairs: int
    first: Estimate
    """The first chunk: what is added to TTFT."""
    last: Estimate
    """The last chunk: what is added to the whole answer."""
    gap: Estimate
    """What each step gap grew by: (last − first) / gaps. 0 where every chunk is equally late."""
    same_tokens: bool


async def run_overhead(
    pair: Pair,
    settings: Settings,
    say: Say,
    observe: Observer,
    start: Starter = start_process,
    keep: Keep = forget,
    watch_s: float = WATCH_S,
) -> Result:
    async with (
        launched(pair, ("speculative",), say, start) as (engine,),
        _gateway(engine, say) as gateway,
    ):
        direct = Running(
            replace(engine.target, arm="direct"), engine.fact.model_copy(update={"arm": "direct"})
        )
        return await compare_arms(
            "overhead", (direct, gateway), pair, settings, observe, keep, watch_s
        )


@asynccontextmanager
async def _gateway(engine: Running, say: Say) -> AsyncIterator[Running]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    argv = (
        sys.executable, "-m", "server", "--engine-url", engine.target.base_url,
        "--host", "127.0.0.1", "--port", str(port),
    )  # fmt: skip
    say("starting the gateway in front of the same engine")
    with log_folder() as folder:
        log = folder / "gateway.log"
        async with ready_child("gateway", argv, f"{url}/health/ready", log, GATEWAY_READY_S):
            fact = Launched(arm="gateway", url=url, model=engine.target.model, argv=argv)
            yield Running(Target("gateway", url, engine.target.model, log=log), fact)


def overheads(result: Result) -> list[Overhead]:
    """Workloads whose pairs are too few for an interval are left out."""
    rows = []
    for concurrency in result.settings.concurrency:
        for workload in result.settings.workloads:
            row = _row(result, workload, concurrency)
            if row is not None:
                rows.append(row)
    return rows


def _row(result: Result, workload: str, concurrency: int) -> Overhead | None:
    cell = result.cell(workload, concurrency)
    if len(cell) < result.settings.per_cell:
        return None
    replies = {(one.arm, one.prompt, one.repeat): one.reply for one in cell}
    shape = (result.settings.prompts, 2 * result.settings.rounds)
    late = np.full((3, *shape), np.nan)
    for prompt, repeat in np.ndindex(shape):
        direct, gateway = (replies[arm, prompt, repeat] for arm in ("direct", "gateway"))
        late[:, prompt, repeat] = _lateness_ms(direct, gateway) or np.nan
    first, last, gap = (Paired.of(np.zeros(shape), values) for values in late)
    if gap.prompts < MIN_PROMPTS:
        return None
    seed = result.settings.seed
    return Overhead(
        workload=workload,
        concurrency=concurrency,
        pairs=int(np.count_nonzero(~np.isnan(gap.other))),
        first=median_difference(first, seed),
        last=median_difference(last, seed),
        gap=median_difference(gap, seed),
        same_tokens=_same(cell),
    )


def _lateness_ms(direct: Reply, gateway: Reply) -> tuple[float, float, float] | None:
    """First chunk, last chunk, per gap. `None` unless chunk for chunk the tokens are the same."""
    if direct.problem or gateway.problem or timing.sizes(direct) != timing.sizes(gateway):
        return None
    gaps = len(timing.step_gaps_ms(direct))
    if direct.token_ids != gateway.token_ids or not gaps:
        return None
    first = timing.ttft_ms(gateway) - timing.ttft_ms(direct)
    last = timing.total_ms(gateway) - timing.total_ms(direct)
    return first, last, (last - first) / gaps


def _same(cell: Sequence[Measured]) -> bool:
    spoken: dict[int, set[tuple[int, ...]]] = {}
    for one in cell:
        if one.reply.problem is None:
            spoken.setdefault(one.prompt, set()).add(one.reply.token_ids)
    return all(len(answers) == 1 for answers in spoken.values())


def render_overhead(result: Result, rows: list[Overhead]) -> str:
    sink = StringIO()
    console = Console(file=sink, width=WIDTH, color_system=None, highlight=False, markup=False)
    table = Table(
        box=SIMPLE_HEAD, pad_edge=False, title="what the gateway adds", title_justify="left"
    )
    for name in ("workload", "concurrency", "pairs", "first chunk + ms [95 %]", "last chunk + ms [95 %]", "step gap + ms [95 %]", "same tokens"):  # fmt: skip  # noqa: E501
        table.add_column(name, justify="left" if name == "workload" else "right")
    for row in rows:
        table.add_row(
            row.workload,
            str(row.concurrency),
            str(row.pairs),
            _added(row.first),
            _added(row.last),
            _added(row.gap),
            "yes" if row.same_tokens else "NO",
        )
    console.print(table)
    for line in _notes(result):
        console.print(line, soft_wrap=True)
    return "\n".join(line.rstrip() for line in sink.getvalue().splitlines()).strip("\n") + "\n"


def _notes(result: Result) -> Iterator[str]:
    yield from early_end(result)
    yield (
        "Gateway minus direct on the same engine, alternating A B B A; median over pairs of the "
        "same prompt and repeat whose chunks hold the same tokens. A chunk's time counts from its "
        "request. First chunk: what TTFT grew by; last chunk: what the whole answer grew by; step "
        "gap: what each gap grew by, 0 where all chunks are equally late."
    )
    yield from origin(result)


def _added(estimate: Estimate) -> str:
    return f"{estimate.value:+.2f} [{estimate.low:+.2f}, {estimate.high:+.2f}]"

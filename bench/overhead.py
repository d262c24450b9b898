"""What the gateway adds to an engine, measured on one engine with and without it."""

import os
import statistics
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from bench import timing
from bench.child import ready_child
from bench.client import Target
from bench.engines import Running, Say, Starter, free_port, launched, start_process
from bench.experiment import Observer
from bench.record import Arm, Launched, Reply, Result, Settings
from bench.report import WIDTH, origin
from bench.run import compare_arms
from bench.stats import MIN_PROMPTS, Estimate, Floats, Paired, median_difference
from neuron.pair import Pair

GATEWAY_READY_S = 120.0


@dataclass(frozen=True)
class Overhead:
    """Milliseconds that the gateway adds; medians over pairs of the same prompt and repeat."""

    workload: str
    concurrency: int
    pairs: int
    ttft: Estimate
    per_chunk: Estimate
    same_tokens: bool


async def run_overhead(
    pair: Pair, settings: Settings, say: Say, observe: Observer, start: Starter = start_process
) -> Result:
    load = os.getloadavg()
    async with (
        launched(pair, ("speculative",), say, start) as (engine,),
        _gateway(engine, say) as gateway,
    ):
        direct = Running(
            replace(engine.target, arm="direct"), engine.fact.model_copy(update={"arm": "direct"})
        )
        return await compare_arms("overhead", (direct, gateway), pair, settings, load, observe)


@asynccontextmanager
async def _gateway(engine: Running, say: Say) -> AsyncIterator[Running]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    argv = (
        sys.executable, "-m", "server", "--engine-url", engine.target.base_url,
        "--host", "127.0.0.1", "--port", str(port),
    )  # fmt: skip
    say("starting the gateway in front of the same engine")
    with TemporaryDirectory(prefix="bench-") as folder:
        log = Path(folder) / "gateway.log"
        async with ready_child("gateway", argv, f"{url}/health/ready", log, GATEWAY_READY_S):
            fact = Launched(arm="gateway", url=url, model=engine.target.model, argv=argv)
            yield Running(Target("gateway", url, engine.target.model), fact)


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
    def array(arm: Arm, per_chunk: bool) -> Floats:
        values = np.full((result.settings.prompts, 2 * result.settings.rounds), np.nan)
        for one in result.requests:
            cell = (one.workload, one.concurrency, one.arm) == (workload, concurrency, arm)
            if cell and one.reply.problem is None:
                value = _per_chunk_ms(one.reply) if per_chunk else timing.ttft_ms(one.reply)
                values[one.prompt, one.repeat] = np.nan if value is None else value
        return values

    ttft = Paired.of(array("direct", False), array("gateway", False))
    gap = Paired.of(array("direct", True), array("gateway", True))
    if min(ttft.prompts, gap.prompts) < MIN_PROMPTS:
        return None
    seed = result.settings.seed
    return Overhead(
        workload=workload,
        concurrency=concurrency,
        pairs=int(np.count_nonzero(~np.isnan(gap.base))),
        ttft=median_difference(ttft, seed),
        per_chunk=median_difference(gap, seed),
        same_tokens=_same(result, workload, concurrency),
    )


def _per_chunk_ms(reply: Reply) -> float | None:
    gaps = timing.step_gaps_ms(reply)
    return statistics.fmean(gaps) if gaps else None


def _same(result: Result, workload: str, concurrency: int) -> bool:
    spoken: dict[int, set[tuple[int, ...]]] = {}
    for one in result.requests:
        if (one.workload, one.concurrency) == (workload, concurrency) and not one.reply.problem:
            spoken.setdefault(one.prompt, set()).add(one.reply.token_ids)
    return all(len(answers) == 1 for answers in spoken.values())


def render_overhead(result: Result, rows: list[Overhead]) -> str:
    sink = StringIO()
    console = Console(file=sink, width=WIDTH, color_system=None, highlight=False, markup=False)
    table = Table(
        box=SIMPLE_HEAD, pad_edge=False, title="what the gateway adds", title_justify="left"
    )
    for name in ("workload", "concurrency", "pairs", "TTFT + ms [95 %]", "per chunk + ms [95 %]", "same tokens"):  # fmt: skip  # noqa: E501
        table.add_column(name, justify="left" if name == "workload" else "right")
    for row in rows:
        table.add_row(
            row.workload,
            str(row.concurrency),
            str(row.pairs),
            _added(row.ttft),
            _added(row.per_chunk),
            "yes" if row.same_tokens else "NO",
        )
    console.print(table)
    for line in _notes(result):
        console.print(line, soft_wrap=True)
    return "\n".join(line.rstrip() for line in sink.getvalue().splitlines()).strip("\n") + "\n"


def _notes(result: Result) -> Iterator[str]:
    yield (
        "Gateway minus direct, median over pairs of the same prompt and repeat on the same engine, "
        "alternating A B B A; per chunk = mean step gap of a request."
    )
    yield from origin(result)


def _added(estimate: Estimate) -> str:
    return f"{estimate.value:+.2f} [{estimate.low:+.2f}, {estimate.high:+.2f}]"

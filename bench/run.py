"""One whole run: engines, prompts, measurement, provenance."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from bench.busy import WATCH_S, others_cpu
from bench.engines import Running, Say, Starter, attached, launched, start_process
from bench.errors import UsageProblemError
from bench.experiment import Observer, Sink, measure
from bench.probes import ask, partings
from bench.prompts import Item, render_prompts, workloads_of
from bench.provenance import provenance, weights_of
from bench.record import SCHEMA_VERSION, Block, Kind, Measured, Probe, Result, Settings
from bench.wire import DEFAULT_LIMITS, Limits
from neuron.pair import Pair

Keep = Callable[[Result], None]


def forget(result: Result) -> None:
    """A `Keep` for those who store nothing."""


@dataclass(frozen=True)
class Urls:
    """Engines that run already, instead of a pair to start."""

    speculative: str
    plain: str


@asynccontextmanager
async def arms_of(
    source: Pair | Urls, say: Say, start: Starter = start_process
) -> AsyncIterator[tuple[Running, Running]]:
    """The plain engine, then the speculative one."""
    if isinstance(source, Urls):
        yield (
            await attached("plain", source.plain),
            await attached("speculative", source.speculative),
        )
        return
    async with launched(source, ("plain", "speculative"), say, start) as running:
        plain, speculative = running
        yield plain, speculative


@asynccontextmanager
async def both_plain(
    source: Pair | Urls, say: Say, start: Starter = start_process
) -> AsyncIterator[tuple[Running, Running]]:
    """One plain engine under two names."""
    if isinstance(source, Urls):
        yield _twice(await attached("plain", source.plain))
        return
    async with launched(source, ("plain",), say, start) as (plain,):
        yield _twice(plain)


def _twice(plain: Running) -> tuple[Running, Running]:
    again = Running(
        replace(plain.target, arm="again"), plain.fact.model_copy(update={"arm": "again"})
    )
    return plain, again


async def run_bench(
    source: Pair | Urls,
    settings: Settings,
    say: Say,
    observe: Observer,
    start: Starter = start_process,
    limits: Limits = DEFAULT_LIMITS,
    keep: Keep = forget,
    watch_s: float = WATCH_S,
    aa: bool = False,
) -> Result:
    """`keep` gets the result first, also what there is of it when the run ends early.

    `aa`: the plain engine against itself.
    """
    pair = source if isinstance(source, Pair) else None
    async with (both_plain if aa else arms_of)(source, say, start) as arms:
        kind: Kind = "aa" if aa else "speedup"
        return await compare_arms(kind, arms, pair, settings, observe, keep, watch_s, limits)


async def compare_arms(
    kind: Kind,
    arms: tuple[Running, Running],
    pair: Pair | None,
    settings: Settings,
    observe: Observer,
    keep: Keep = forget,
    watch_s: float = WATCH_S,
    limits: Limits = DEFAULT_LIMITS,
) -> Result:
    """`arms` are the base and the other; the base must be an engine itself."""
    base, other = arms
    items = await render_prompts(base.target, workloads_of(settings), settings)
    if pair is not None:
        _check_room(pair, settings, items)
    facts = (base.fact, other.fact)
    weights = await asyncio.to_thread(weights_of, facts)
    source = provenance(pair, facts, weights, await others_cpu(watch_s))
    requests: list[Measured] = []
    blocks: list[Block] = []
    prompts = tuple(item.fact() for item in items)

    def result(stopped: str | None, probes: tuple[Probe, ...] = ()) -> Result:
        return Result(
            schema_version=SCHEMA_VERSION,
            kind=kind,
            stopped=stopped,
            base=base.target.arm,
            other=other.target.arm,
            settings=settings,
            provenance=source,
            prompts=prompts,
            requests=tuple(requests),
            blocks=tuple(blocks),
            probes=probes,
        )

    sink = Sink(requests.append, blocks.append)
    try:
        await measure(settings, items, (base.target, other.target), observe, sink, limits)
        found = list(partings(requests, prompts, base.target.arm))
        probes = await ask(base.target, found)
    except BaseException as error:
        if requests:
            keep(result(str(error) or "interrupted"))
        raise
    whole = result(None, probes)
    keep(whole)
    return whole


def _check_room(pair: Pair, settings: Settings, items: Sequence[Item]) -> None:
    longest = max(items, key=lambda item: len(item.tokens))
    if len(longest.tokens) + settings.max_tokens > pair.max_model_len:
        raise UsageProblemError(
            f"--max-tokens {settings.max_tokens}: a prompt of {longest.workload.name} has "
            f"{len(longest.tokens)} tokens, and the pair's max_model_len is {pair.max_model_len}; "
            "lower --max-tokens or raise max_model_len."
        )

"""One whole run: engines, prompts, measurement, provenance."""

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bench.engines import Running, Say, Starter, attached, launched, start_process
from bench.errors import UsageProblemError
from bench.experiment import Item, Observer, measure, render_prompts
from bench.provenance import provenance
from bench.record import Kind, Result, Settings
from bench.wire import DEFAULT_LIMITS, Limits
from bench.workloads import choose
from neuron.pair import Pair


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


async def run_bench(
    source: Pair | Urls,
    settings: Settings,
    say: Say,
    observe: Observer,
    start: Starter = start_process,
    limits: Limits = DEFAULT_LIMITS,
) -> Result:
    load = os.getloadavg()
    async with arms_of(source, say, start) as arms:
        return await compare_arms(
            "speedup", arms, source if isinstance(source, Pair) else None, settings, load, observe,
            limits,
        )  # fmt: skip


async def compare_arms(
    kind: Kind,
    arms: tuple[Running, Running],
    pair: Pair | None,
    settings: Settings,
    load: tuple[float, float, float],
    observe: Observer,
    limits: Limits = DEFAULT_LIMITS,
) -> Result:
    """`arms` are the base and the other; the base must be an engine itself."""
    base, other = arms
    workloads = choose(settings.workloads)
    items = await render_prompts(base.target, workloads, settings)
    if pair is not None:
        _check_room(pair, settings, items)
    requests = await measure(settings, items, (base.target, other.target), observe, limits)
    return Result(
        schema_version=1,
        kind=kind,
        base=base.target.arm,
        other=other.target.arm,
        settings=settings,
        provenance=provenance(pair, [base.fact, other.fact], load),
        prompts=tuple(item.fact() for item in items),
        requests=tuple(requests),
    )


def _check_room(pair: Pair, settings: Settings, items: Sequence[Item]) -> None:
    longest = max(items, key=lambda item: len(item.tokens))
    if len(longest.tokens) + settings.max_tokens > pair.max_model_len:
        raise UsageProblemError(
            f"--max-tokens {settings.max_tokens}: a prompt of {longest.workload.name} has "
            f"{len(longest.tokens)} tokens, and the pair's max_model_len is {pair.max_model_len}; "
            "lower --max-tokens or raise max_model_len."
        )

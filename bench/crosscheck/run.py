"""Rounds of blocks on one engine: ours, the programs in turn, ours again."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.busy import WATCH_S, others_cpu
from bench.child import finished_child, log_folder
from bench.client import Call, Target, send
from bench.crosscheck.definitions import Sent
from bench.crosscheck.programs import WARM, Job, Printed, Program
from bench.crosscheck.prompts import texts
from bench.engines import Say, Starter, launched, start_process
from bench.errors import UnusableError
from bench.prompts import Item, render_prompts, workloads_of
from bench.provenance import provenance, weights_of
from bench.record import Provenance, Settings
from bench.reply import read_reply
from bench.wire import Exchange
from neuron.models import locate
from neuron.pair import Pair

PROGRAM_S = 240.0
"""For one block, the program's own start included."""


@dataclass(frozen=True)
class Round:
    """Our blocks stand around the programs', so that a drift within the round cancels."""

    first: tuple[Sent, ...]
    printed: Mapping[str, Printed]
    """In the order in which the programs ran."""
    last: tuple[Sent, ...]


@dataclass(frozen=True)
class CrossCheck:
    settings: Settings
    programs: tuple[Program, ...]
    rounds: tuple[Round, ...]
    source: Provenance
    prompts: int


@dataclass(frozen=True)
class Seams:
    """What a test replaces."""

    start: Starter = start_process
    watch_s: float = WATCH_S
    find: Callable[[str], Path] = locate
    programs: tuple[Program, ...] | None = None
    """Instead of those that the options name."""


async def cross_check(
    pair: Pair, settings: Settings, programs: Sequence[Program], say: Say, seams: Seams
) -> CrossCheck:
    """`settings.rounds` rounds on the pair's speculative engine, one request at a time.

    Raises EngineFailedError, or UnusableError if a program fails or a request of ours does.
    """
    # Other programs take no salt, so that no request may profit from an earlier one.
    pair = pair.model_copy(update={"prefix_caching": False})
    async with launched(pair, ("speculative",), say, seams.start) as (running,):
        items = await render_prompts(running.target, workloads_of(settings), settings)
        prompts = await texts(running.target, items)
        weights = weights_of([running.fact])
        source = provenance(pair, [running.fact], weights, await others_cpu(seams.watch_s))
        rounds = []
        with log_folder() as folder:
            for number in range(settings.rounds):
                # Turned round each time: no program is always the one after ours.
                order = programs if number % 2 == 0 else tuple(reversed(programs))
                say(f"round {number + 1} of {settings.rounds}: bench")
                first = await _own(running.target, items)
                printed = {}
                for one in order:
                    say(f"round {number + 1} of {settings.rounds}: {one.name}")
                    block = folder / f"{number}-{one.name.replace(' ', '-')}"
                    block.mkdir()
                    job = Job(
                        url=running.target.base_url,
                        model=running.target.model,
                        tokenizer=str(seams.find(pair.target)),
                        prompts=prompts,
                        max_tokens=settings.max_tokens,
                        folder=block,
                    )
                    await finished_child(
                        one.name, one.command(job), block / "log", PROGRAM_S, one.env
                    )
                    printed[one.name] = one.printed(job)
                rounds.append(Round(first, printed, await _own(running.target, items)))
    return CrossCheck(settings, tuple(programs), tuple(rounds), source, len(items))


async def _own(target: Target, items: Sequence[Item]) -> tuple[Sent, ...]:
    for _ in range(WARM):
        await _send(target, items[0])
    done = [await _send(target, item) for item in items]
    # Only now: reading one stream would delay the next request.
    sent = tuple(Sent(one.sent_ns, read_reply(one)) for one in done)
    problem = next((one.reply.problem for one in sent if one.reply.problem), None)
    if problem is not None:
        raise UnusableError(f"A request of the bench's own is unusable: {problem}.")
    return sent


async def _send(target: Target, item: Item) -> Exchange:
    return await send(target, Call(item.tokens, item.max_tokens, secrets.token_hex(8)))

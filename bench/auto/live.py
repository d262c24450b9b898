"""The real gateway over both engines: requests in `auto`, then each in `auto`, `on` and `off`."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import openai

from bench.auto.gateway import auto_gateway, key_of, learnt
from bench.auto.timings import request_document
from bench.busy import WATCH_S, others_cpu
from bench.engines import Say, Starter, launched, start_process
from bench.errors import EngineFailedError
from bench.events import Fact
from bench.provenance import provenance, weights_of
from bench.record import Provenance
from bench.workloads import Workload, choose
from neuron.local.corpus import Example
from neuron.pair import Pair
from server.usage import Pool

REQUEST_S = 600.0
SAY_EVERY = 10

Mode = Literal["auto", "on", "off"]
MODES: tuple[Mode, ...] = get_args(Mode)


class LiveSettings(Fact):
    learn: int
    """Requests in `auto` before anything is compared; the gateway knows nothing at the first."""
    requests: int
    """After those; each is sent in every mode, one at a time, in an order drawn for it."""
    open_share: float
    max_tokens: int
    seed: int


class Heard(Fact):
    """One answer."""

    number: int
    learning: bool
    workload: str
    structured: bool
    mode: Mode
    pool: Pool
    total_ms: float
    """From the request to the last event with tokens."""
    tokens: int


class Live(Fact):
    settings: LiveSettings
    provenance: Provenance
    heard: tuple[Heard, ...]
    learnt: Any
    """The gateway's own account at the end."""


@dataclass(frozen=True)
class Question:
    number: int
    workload: Workload
    example: Example


async def run_live(
    pair: Pair,
    settings: LiveSettings,
    say: Say,
    start: Starter = start_process,
    watch_s: float = WATCH_S,
) -> Live:
    """Raises EngineFailedError."""
    workloads = choose(())
    names = [workload.name for workload in workloads]
    async with (
        launched(pair, ("plain", "speculative"), say, start) as engines,
        auto_gateway(engines, pair.stack, names) as url,
    ):
        facts = tuple(one.fact for one in engines)
        weights = await asyncio.to_thread(weights_of, facts)
        source = provenance(pair, facts, weights, await others_cpu(watch_s))
        async with openai.AsyncOpenAI(
            base_url=f"{url}/v1", api_key="none", timeout=REQUEST_S, max_retries=0
        ) as client:
            asking = _Asking(client, pair.served_model_name, settings, say)
            heard = [one async for one in asking.all(questions(workloads, settings))]
        return Live(
            settings=settings, provenance=source, heard=tuple(heard), learnt=await learnt(url)
        )


def questions(workloads: Sequence[Workload], settings: LiveSettings) -> Iterator[Question]:
    """No prompt twice."""
    rng = random.Random(f"live:{settings.seed}")
    count = settings.learn + settings.requests
    left = {one.name: iter(one.examples(count, settings.seed)) for one in workloads}
    sides = {side: [one for one in workloads if one.structured == side] for side in (False, True)}
    for number in range(count):
        workload = rng.choice(sides[rng.random() >= settings.open_share])
        yield Question(number, workload, next(left[workload.name]))


@dataclass(frozen=True)
class _Asking:
    client: openai.AsyncOpenAI
    model: str
    settings: LiveSettings
    say: Say
    clock: Callable[[], float] = time.perf_counter

    async def all(self, asked: Iterator[Question]) -> AsyncIterator[Heard]:
        rng = random.Random(f"modes:{self.settings.seed}")
        for question in asked:
            learning = question.number < self.settings.learn
            modes: list[Mode] = ["auto"] if learning else rng.sample(MODES, len(MODES))
            for mode in modes:
                yield await self._ask(question, mode, learning)
            if (question.number + 1) % SAY_EVERY == 0:
                what = "learning" if learning else "compared"
                self.say(f"{question.number + 1} requests, {what}")

    async def _ask(self, question: Question, mode: Mode, learning: bool) -> Heard:
        workload = question.workload
        client = self.client.with_options(api_key=key_of(workload.name))
        began = last = self.clock()
        usage = None
        try:
            stream = await client.chat.completions.create(
                model=self.model,
                max_tokens=self.settings.max_tokens,
                temperature=workload.temperature_of(question.example),
                stream=True,
                stream_options={"include_usage": True},
                extra_body={"speculation": mode},
                **request_document(question.example),
            )
            async with stream:
                async for event in stream:
                    usage = event.usage or usage
                    last = self.clock() if event.choices else last
        except openai.OpenAIError as error:
            raise EngineFailedError(
                f"The gateway did not answer a request of {workload.name}: {error}"
            ) from error
        if usage is None:
            raise EngineFailedError("The gateway's answer came without usage.")
        return Heard(
            number=question.number,
            learning=learning,
            workload=workload.name,
            structured=workload.structured,
            mode=mode,
            pool=stream.response.headers["x-specserve-pool"],
            total_ms=round(1e3 * (last - began), 2),
            tokens=usage.completion_tokens,
        )

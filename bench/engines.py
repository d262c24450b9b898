"""The two engines of a pair as child processes, ready to be measured."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

import httpx

from bench.client import Target
from bench.errors import EngineFailedError, UsageProblemError
from bench.record import Launched
from neuron.launch import Command, Endpoint, render
from neuron.models import BUNDLED_PREFIX, locate
from neuron.pair import Pair
from server.engines import EngineProcess

READY_TIMEOUT_S = 300.0
MODELS_TIMEOUT_S = 10.0

EngineArm = Literal["plain", "speculative"]
Say = Callable[[str], None]


class Process(Protocol):
    async def wait_ready(self, timeout_s: float) -> None: ...


Starter = Callable[[Command, Endpoint, str], AbstractAsyncContextManager[Process]]


@dataclass(frozen=True)
class Running:
    target: Target
    fact: Launched


def start_process(
    command: Command, endpoint: Endpoint, model: str
) -> AbstractAsyncContextManager[Process]:
    return EngineProcess(command, endpoint, model)


def check_weights(pair: Pair) -> None:
    """Raises ModelNotFoundError before anything slow is done."""
    for ref in (pair.target, pair.draft):
        if ref is not None and not ref.startswith(BUNDLED_PREFIX):
            locate(ref)


@asynccontextmanager
async def launched(
    pair: Pair, arms: tuple[EngineArm, ...], say: Say, start: Starter = start_process
) -> AsyncIterator[tuple[Running, ...]]:
    """Starts one engine per arm, all at once, and ends them all on the way out."""
    if "speculative" in arms and pair.draft is None:
        raise UsageProblemError(
            f"Key 'draft' is missing in pair {pair.name!r}: without a draft there is nothing to "
            "compare; name one there or with --draft."
        )
    check_weights(pair)
    async with AsyncExitStack() as stack:
        started: list[tuple[EngineArm, Endpoint, Command, Process]] = []
        for arm in arms:
            say(f"starting the {arm} engine of pair {pair.name}")
            endpoint = Endpoint(port=free_port())
            command = await asyncio.to_thread(render, pair, endpoint, plain=arm == "plain")
            process = await stack.enter_async_context(
                start(command, endpoint, pair.served_model_name)
            )
            started.append((arm, endpoint, command, process))
        waited = await _all_ready([process for *_, process in started])
        yield tuple(
            _running(pair, arm, endpoint, command, ready_s)
            for (arm, endpoint, command, _), ready_s in zip(started, waited, strict=True)
        )


async def _all_ready(processes: Sequence[Process]) -> list[float]:
    """Both imports run side by side; the first engine that fails ends the wait."""
    waits = [asyncio.create_task(_ready(process)) for process in processes]
    try:
        return list(await asyncio.gather(*waits))
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)


async def _ready(process: Process) -> float:
    started = time.perf_counter()
    await process.wait_ready(READY_TIMEOUT_S)
    return time.perf_counter() - started


def _running(
    pair: Pair, arm: EngineArm, endpoint: Endpoint, command: Command, ready_s: float
) -> Running:
    return Running(
        Target(arm, endpoint.base_url, pair.served_model_name, endpoint.uds),
        Launched(
            arm=arm,
            url=endpoint.base_url,
            model=pair.served_model_name,
            argv=command.argv,
            env=dict(command.env),
            ready_s=round(ready_s, 2),
        ),
    )


async def attached(arm: EngineArm, url: str) -> Running:
    """An engine that runs already. Raises EngineFailedError if it names no model."""
    try:
        async with httpx.AsyncClient(timeout=MODELS_TIMEOUT_S, trust_env=False) as http:
            answer = await http.get(f"{url.rstrip('/')}/v1/models")
            answer.raise_for_status()
            model = str(answer.json()["data"][0]["id"])
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, LookupError, TypeError) as error:
        raise EngineFailedError(
            f"No engine answers at {url} ({error}); start one or give another URL."
        ) from error
    return Running(Target(arm, url, model), Launched(arm=arm, url=url, model=model))


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port

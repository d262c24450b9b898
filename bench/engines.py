"""The two engines of a pair as child processes, ready to be measured."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import httpx

from bench.child import log_folder
from bench.client import Target
from bench.errors import EngineFailedError, UsageProblemError
from bench.record import Launched
from neuron.launch import Command, Endpoint, render
from neuron.pair import Pair
from server.engines import EngineProcess

READY_TIMEOUT_S = 300.0
MODELS_TIMEOUT_S = 10.0

EngineArm = Literal["plain", "speculative"]
Say = Callable[[str], None]


class Process(Protocol):
    @property
    def returncode(self) -> int | None:
        """`None` while it runs."""

    async def wait_ready(self, timeout_s: float) -> None: ...


Starter = Callable[[Command, Endpoint, str, Path], AbstractAsyncContextManager[Process]]
"""Command, where it listens, the model it serves, its log."""


@dataclass(frozen=True)
class Running:
    target: Target
    fact: Launched


def start_process(
    command: Command, endpoint: Endpoint, model: str, log: Path
) -> AbstractAsyncContextManager[Process]:
    return EngineProcess(command, endpoint, model, log=log)


@asynccontextmanager
async def launched(
    pair: Pair, arms: tuple[EngineArm, ...], say: Say, start: Starter = start_process
) -> AsyncIterator[tuple[Running, ...]]:
    """Starts one engine per arm, all at once, and ends them all on the way out.

    Raises EngineFailedError there if one has ended by itself.
    """
    if "speculative" in arms and pair.draft is None:
        raise UsageProblemError(
            f"Key 'draft' is missing in pair {pair.name!r}: without a draft there is nothing to "
            "compare; name one there or with --draft."
        )
    plans: list[_Plan] = []
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(log_folder())
        for arm in arms:
            endpoint = Endpoint(port=free_port())
            # All before the first start: a pair that cannot work fails here.
            command = await asyncio.to_thread(render, pair, endpoint, plain=arm == "plain")
            plans.append(_Plan(pair, arm, endpoint, command, folder / f"{arm}.log"))
        processes = []
        for plan in plans:
            say(f"starting the {plan.arm} engine of pair {pair.name}")
            started = start(plan.command, plan.endpoint, pair.served_model_name, plan.log)
            processes.append(await stack.enter_async_context(started))
        waited = await _all_ready(processes)
        versions = [await engine_version(plan.endpoint.base_url) for plan in plans]
        yield tuple(
            plan.running(ready_s, version)
            for plan, ready_s, version in zip(plans, waited, versions, strict=True)
        )
        for plan, process in zip(plans, processes, strict=True):
            if process.returncode is not None:
                raise EngineFailedError(
                    f"The {plan.arm} engine ended with code {process.returncode} during the run; "
                    f"its log is {plan.log}."
                )


@dataclass(frozen=True)
class _Plan:
    pair: Pair
    arm: EngineArm
    endpoint: Endpoint
    command: Command
    log: Path

    def running(self, ready_s: float, version: str | None) -> Running:
        url, model = self.endpoint.base_url, self.pair.served_model_name
        return Running(
            Target(self.arm, url, model, log=self.log),
            Launched(
                arm=self.arm,
                url=url,
                model=model,
                argv=self.command.argv,
                env=dict(self.command.env),
                ready_s=round(ready_s, 2),
                version=version,
            ),
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
    version = await engine_version(url)
    return Running(
        Target(arm, url, model), Launched(arm=arm, url=url, model=model, version=version)
    )


async def engine_version(url: str) -> str | None:
    """vLLM's answer at /version; `None` where there is none."""
    try:
        async with httpx.AsyncClient(timeout=MODELS_TIMEOUT_S, trust_env=False) as http:
            answer = await http.get(f"{url.rstrip('/')}/version")
            answer.raise_for_status()
            return str(answer.json()["version"])
    except (httpx.HTTPError, ValueError, LookupError, TypeError):
        return None


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port

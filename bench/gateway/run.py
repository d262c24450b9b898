"""Runs the series: engine and load on one core, the contestant on another."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.child import log_folder, ready_child
from bench.engines import free_port
from bench.errors import EngineFailedError, UsageProblemError
from bench.gateway.contestants import Contestant
from bench.gateway.figures import Calls, Figures, Memory, Streams, summarise
from bench.gateway.usage import Usage
from bench.gateway.versions import version_of

READY_S = 120.0
SAMPLE_S = 0.1
WARM_UP_STREAMS, WARM_UP_CHUNKS = 16, 25
Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    streams: tuple[int, ...] = (1, 64, 256)
    step_ms: int = 20
    chunks: int = 250
    """Of each stream."""
    limit_s: float = 30.0
    """A series that is slower than that is cut off there."""
    open_every_s: float = 0.0037
    """Between the openings of two streams: no multiple of the step, so they are spread over it."""
    connections: int = 16
    calls_s: float = 5.0
    open_streams: int = 1000
    open_step_ms: int = 1000
    open_chunks: int = 6
    open_spread_s: float = 3.0


@dataclass(frozen=True)
class Cores:
    load: int
    contestant: int

    @classmethod
    def chosen(cls) -> Cores:
        """Raises UsageProblemError."""
        usable = sorted(os.sched_getaffinity(0))
        if len(usable) < 2:
            raise UsageProblemError(
                "One core is not enough: the load must not run on the gateway's."
            )
        return cls(usable[0], usable[1])


@dataclass(frozen=True)
class Bench:
    plan: Plan
    cores: Cores
    say: Say

    async def run(self, contestants: Sequence[Contestant]) -> list[Figures]:
        """The direct figures first. Raises EngineFailedError and UsageProblemError."""
        with log_folder() as folder:
            async with self._child(
                "fake engine", fake_engine, "/health", self.cores.load, folder
            ) as (engine, _):
                found = [await self._measured("direct", "", engine, None)]
                for one in contestants:
                    found.append(await self._through(one, engine, folder))  # noqa: PERF401
        return found

    async def _through(self, one: Contestant, engine: str, folder: Path) -> Figures:
        async with self._started(one, engine, folder) as (url, usage):
            figures = await self._measured(one.name, version_of(one), url, usage)
        # Started anew: one that was asked too much may still be at it.
        async with self._started(one, engine, folder) as (url, usage):
            self.say(f"{one.name}: {self.plan.open_streams} open streams")
            return replace(figures, memory=await self._memory(url, usage))

    @asynccontextmanager
    async def _started(
        self, one: Contestant, engine: str, folder: Path
    ) -> AsyncIterator[tuple[str, Usage]]:
        def argv(port: int) -> tuple[str, ...]:
            settings = tuple(f"{name}={value}" for name, value in one.env.items())
            return ("env", *settings, *one.argv(engine, port, folder))

        self.say(f"starting {one.name}")
        core = self.cores.contestant
        async with self._child(one.name, argv, one.ready, core, folder) as (url, pid):
            await self._streams(url, None, WARM_UP_STREAMS, WARM_UP_CHUNKS)
            yield url, Usage(pid)

    async def _measured(self, name: str, version: str, url: str, usage: Usage | None) -> Figures:
        self.say(f"{name}: short calls")
        calls = await self._calls(url, usage)
        streams = {}
        for count in self.plan.streams:
            self.say(f"{name}: {count} streams")
            streams[count] = await self._streams(url, usage, count, self.plan.chunks)
        return Figures(name, version, streams, calls)

    async def _streams(self, url: str, usage: Usage | None, count: int, chunks: int) -> Streams:
        before = usage.cpu_s() if usage else 0.0
        step_ms = self.plan.step_ms
        got = await self._load(
            url, "streams", count=count, chunks=chunks, step_ms=step_ms,
            spread_s=count * self.plan.open_every_s, limit_s=self.plan.limit_s,
        )  # fmt: skip
        spent = usage.cpu_s() - before if usage else None
        return summarise(count, chunks, got["arrived"], got["complete"], got["delays_us"], spent)

    async def _calls(self, url: str, usage: Usage | None) -> Calls:
        before = usage.cpu_s() if usage else 0.0
        got = await self._load(url, "calls", count=self.plan.connections, seconds=self.plan.calls_s)
        answered = got["answered"]
        each = (usage.cpu_s() - before) / answered * 1e3 if usage and answered else None
        return Calls(answered / got["seconds"], got["failed"], each)

    async def _memory(self, url: str, usage: Usage) -> Memory:
        plan = self.plan
        before = usage.resident_mib()
        peak = before

        async def watch() -> None:
            nonlocal peak
            while True:
                peak = max(peak, usage.resident_mib())
                await asyncio.sleep(SAMPLE_S)

        watching = asyncio.create_task(watch())
        try:
            got = await self._load(
                url, "streams", count=plan.open_streams, chunks=plan.open_chunks,
                step_ms=plan.open_step_ms, spread_s=plan.open_spread_s,
                limit_s=plan.limit_s + plan.open_spread_s,
            )  # fmt: skip
        finally:
            watching.cancel()
        return Memory(before, peak, plan.open_streams, got["complete"])

    async def _load(self, url: str, kind: str, **options: float) -> dict[str, Any]:
        flags = [f"--{name.replace('_', '-')}={value:g}" for name, value in options.items()]
        argv = (
            *pinned(self.cores.load), sys.executable, "-m", "bench.gateway.load", url, kind, *flags
        )  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            *argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        try:
            out, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        if process.returncode:
            told = err.decode(errors="replace").strip().splitlines()
            raise EngineFailedError(f"The load on {url} failed: {told[-1] if told else 'no word'}")
        got: dict[str, Any] = json.loads(out)
        return got

    @asynccontextmanager
    async def _child(
        self, name: str, argv: Callable[[int], tuple[str, ...]], ready: str, core: int, folder: Path
    ) -> AsyncIterator[tuple[str, int]]:
        """Its URL and pid."""
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        log = folder / f"{name.replace(' ', '-')}.log"
        async with ready_child(
            name, (*pinned(core), *argv(port)), f"{url}{ready}", log, READY_S
        ) as pid:
            yield url, pid


def pinned(core: int) -> tuple[str, ...]:
    return ("taskset", "--cpu-list", str(core))


def fake_engine(port: int) -> tuple[str, ...]:
    return (sys.executable, "-m", "bench.gateway.fake_engine", "--port", str(port))

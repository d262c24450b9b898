"""A helper program (the gateway) as a child that is ended whatever happens."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from bench.errors import EngineFailedError

POLL_S = 0.25
PROBE_TIMEOUT_S = 5.0
STOP_GRACE_S = 30.0
TAIL_LINES = 12


@asynccontextmanager
async def ready_child(
    name: str, argv: Sequence[str], ready_url: str, log: Path, timeout_s: float
) -> AsyncIterator[int]:
    """Its pid, once `ready_url` answers 200. Raises EngineFailedError with the log's end."""
    with log.open("wb") as sink:
        process = await asyncio.create_subprocess_exec(
            *argv, stdout=sink, stderr=sink, start_new_session=True
        )
    try:
        await _until_ready(name, process, ready_url, log, timeout_s)
        yield process.pid
    finally:
        await _stop(process)


async def _until_ready(
    name: str, process: asyncio.subprocess.Process, url: str, log: Path, timeout_s: float
) -> None:
    deadline = time.monotonic() + timeout_s
    async with httpx.AsyncClient(timeout=PROBE_TIMEOUT_S, trust_env=False) as http:
        while time.monotonic() < deadline:
            if process.returncode is not None:
                raise EngineFailedError(
                    f"The {name} ended with exit code {process.returncode} before it was ready; "
                    f"its log ends: {_tail(log)}"
                )
            try:
                if (await http.get(url)).status_code == httpx.codes.OK:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(POLL_S)
    raise EngineFailedError(
        f"The {name} was not ready within {timeout_s:g} s; its log ends: {_tail(log)}"
    )


def _tail(log: Path) -> str:
    return " | ".join(log.read_text(errors="replace").splitlines()[-TAIL_LINES:]) or "(empty)"


async def _stop(process: asyncio.subprocess.Process) -> None:
    """SIGTERM lets the gateway end its own engines; SIGKILL is for what is left of the group."""
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_GRACE_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return

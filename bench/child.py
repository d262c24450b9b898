"""A helper program (the gateway) as a child that is ended whatever happens, and its log."""

import asyncio
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import httpx

from bench.errors import EngineFailedError, UnusableError
from neuron.errors import LaunchError
from server import keeper

POLL_S = 0.25
PROBE_TIMEOUT_S = 5.0
STOP_GRACE_S = 30.0
TAIL_LINES = 12


@contextmanager
def log_folder() -> Iterator[Path]:
    """A new folder, which stays only where an error has named a log in it."""
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    kept = False
    try:
        yield folder
    except (EngineFailedError, LaunchError):
        kept = any(folder.iterdir())
        raise
    finally:
        if not kept:
            shutil.rmtree(folder)


@asynccontextmanager
async def ready_child(
    name: str, argv: Sequence[str], ready_url: str, log: Path, timeout_s: float
) -> AsyncIterator[int]:
    """Its process group, once `ready_url` answers 200. Raises EngineFailedError with the log's end.

    It is ended on the way out, and also when this process is killed: the keeper sees its stdin
    close then.
    """
    with log.open("wb") as sink:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", keeper.__file__, *argv),
            stdin=asyncio.subprocess.PIPE,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
    try:
        await _until_ready(name, process, ready_url, log, timeout_s)
        yield process.pid
    finally:
        await _stop(process)


async def finished_child(
    name: str, argv: Sequence[str], log: Path, timeout_s: float, env: Mapping[str, str]
) -> None:
    """Runs a program that ends by itself; `env` is added to ours.

    Raises UnusableError with the log's end if it fails or takes longer. Kept as `ready_child` is.
    """
    with log.open("wb") as sink:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", keeper.__file__, *argv),
            stdin=asyncio.subprocess.PIPE,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
            env={**os.environ, **env},
        )
    try:
        async with asyncio.timeout(timeout_s):
            code = await process.wait()
    except TimeoutError as error:
        raise UnusableError(
            f"{name} had not ended after {timeout_s:g} s; its output ends: {_tail(log)}"
        ) from error
    finally:
        await _stop(process)
    if code:
        raise UnusableError(f"{name} ended with exit code {code}; its output ends: {_tail(log)}")


async def _until_ready(
    name: str, process: asyncio.subprocess.Process, url: str, log: Path, timeout_s: float
) -> None:
    deadline = time.monotonic() + timeout_s
    async with httpx.AsyncClient(timeout=PROBE_TIMEOUT_S, trust_env=False) as http:
        while time.monotonic() < deadline:
            if process.returncode is not None:
                raise EngineFailedError(
                    f"The {name} ended with exit code {process.returncode} before it was ready; "
                    f"its log is {log} and ends: {_tail(log)}"
                )
            try:
                if (await http.get(url)).status_code == httpx.codes.OK:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(POLL_S)
    raise EngineFailedError(
        f"The {name} was not ready within {timeout_s:g} s; its log is {log} and ends: {_tail(log)}"
    )


def _tail(log: Path) -> str:
    return " | ".join(log.read_text(errors="replace").splitlines()[-TAIL_LINES:]) or "(empty)"


async def _stop(process: asyncio.subprocess.Process) -> None:
    """SIGTERM lets the gateway end its own engines; SIGKILL is for what is left of the group."""
    _signal(process, signal.SIGTERM)
    with suppress(TimeoutError):
        async with asyncio.timeout(STOP_GRACE_S):
            await process.wait()
    _signal(process, signal.SIGKILL)
    await process.wait()


def _signal(process: asyncio.subprocess.Process, signum: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signum)

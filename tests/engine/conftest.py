"""The real engine, started once per session from the command that neuron renders."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from neuron.launch import Endpoint, render
from neuron.local.build import WEIGHTS
from neuron.pair import Pair, load_pair
from neuron.startup_check import check_engine

READY_TIMEOUT_S = 300.0
POLL_S = 0.2
STOP_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Engine:
    base_url: str
    port: int
    uds: Path | None
    model: str
    pid: int
    pair: Pair
    log: Path


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def wait_until_healthy(base_url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    with httpx.Client(base_url=base_url, timeout=5.0, trust_env=False) as client:
        while time.monotonic() < deadline:
            if process.poll() is not None:
                break
            try:
                if client.get("/health").status_code == httpx.codes.OK:
                    return
            except httpx.TransportError:
                pass
            time.sleep(POLL_S)
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-60:])
    pytest.fail(f"the engine is not healthy (exit code {process.poll()}); its log ends:\n{tail}")


async def check(base_url: str, model: str) -> None:
    async with httpx.AsyncClient(base_url=base_url, trust_env=False) as client:
        await check_engine(client, model)


@contextmanager
def running_engine(pair: Pair, folder: Path, *, plain: bool) -> Iterator[Engine]:
    endpoint = Endpoint(port=free_port())
    assert endpoint.port is not None
    command = render(pair, endpoint, plain=plain)
    log = folder / ("plain.log" if plain else "spec.log")
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command.argv,
            env={**os.environ, **command.env},
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until_healthy(endpoint.base_url, process, log)
        asyncio.run(check(endpoint.base_url, pair.served_model_name))
        yield Engine(
            base_url=endpoint.base_url,
            port=endpoint.port,
            uds=None,
            model=pair.served_model_name,
            pid=process.pid,
            pair=pair,
            log=log,
        )
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    for how in (signal.SIGTERM, signal.SIGKILL):
        try:
            # The session leader's id is its group's: EngineCore ends with it.
            os.killpg(process.pid, how)
            process.wait(timeout=STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            continue
        except ProcessLookupError:
            return


@pytest.fixture(scope="session")
def pair() -> Pair:
    """Without what makes the target slow, which changes no token: test_pair_quality.py."""
    return load_pair("local").with_models(target=str(WEIGHTS / "target"))


@pytest.fixture(scope="session")
def spec_engine(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with running_engine(pair, tmp_path_factory.mktemp("engine"), plain=False) as engine:
        yield engine


@pytest.fixture(scope="session")
def plain_engine(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with running_engine(pair, tmp_path_factory.mktemp("engine"), plain=True) as engine:
        yield engine

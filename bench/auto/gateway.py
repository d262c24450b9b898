"""A gateway in `auto` over two engines that run, with an API key for each application."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from bench.child import POLL_S, PROBE_TIMEOUT_S, log_folder, ready_child
from bench.engines import Running, free_port
from bench.errors import EngineFailedError
from server.keys import KeyEntry, hash_of
from server.keys_cli import entry_text

READY_S = 120.0
ADMIN = "bench-admin"


@asynccontextmanager
async def auto_gateway(
    engines: Sequence[Running], stack: str, applications: Iterable[str]
) -> AsyncIterator[str]:
    """Its URL, once both pools are ready. Raises EngineFailedError."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with log_folder() as folder:
        config, keys, log = (folder / name for name in ("gateway.toml", "keys.toml", "gateway.log"))
        config.write_text("".join(_replica(one, stack) for one in engines))
        keys.write_text("".join(map(_entry, (ADMIN, *applications))))
        argv = (
            sys.executable, "-m", "server", "--config", str(config), "--keys-file", str(keys),
            "--host", "127.0.0.1", "--port", str(port),
        )  # fmt: skip
        async with ready_child("gateway", argv, f"{url}/health/ready", log, READY_S):
            await _both_ready(url, log)
            yield url


async def learnt(url: str) -> object:
    """The document of GET /v1/speculation."""
    try:
        async with httpx.AsyncClient(timeout=PROBE_TIMEOUT_S, trust_env=False) as http:
            headers = {"Authorization": f"Bearer {key_of(ADMIN)}"}
            answer = await http.get(f"{url}/v1/speculation", headers=headers)
            return answer.raise_for_status().json()
    except httpx.HTTPError as error:
        raise EngineFailedError(f"The gateway did not say what it learnt: {error}.") from error


def key_of(application: str) -> str:
    return f"sk-{application}"


def _entry(application: str) -> str:
    key = KeyEntry(name=application, hash=hash_of(key_of(application)), admin=application == ADMIN)
    return entry_text(key)


def _replica(engine: Running, stack: str) -> str:
    fields = {
        "name": engine.target.arm,
        "pool": engine.target.arm,
        "url": engine.target.base_url,
        "stack": stack,
    }
    lines = (f"{name} = {json.dumps(value)}\n" for name, value in fields.items())
    return "[[replicas]]\n" + "".join(lines)


async def _both_ready(url: str, log: Path) -> None:
    try:
        async with (
            asyncio.timeout(READY_S),
            httpx.AsyncClient(timeout=PROBE_TIMEOUT_S, trust_env=False) as http,
        ):
            while True:
                pools = (await http.get(f"{url}/health/ready")).json()["pools"].values()
                if all(pool["ready"] for pool in pools):
                    return
                await asyncio.sleep(POLL_S)
    except (TimeoutError, httpx.HTTPError) as error:
        raise EngineFailedError(
            f"The gateway did not take both engines within {READY_S:g} s; its log is {log}."
        ) from error

"""An engine as a child process."""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio
import httpx
from anyio.abc import Process

from neuron.errors import LaunchError
from neuron.launch import Command, Endpoint
from neuron.startup_check import check_engine
from server import defaults, keeper

Check = Callable[[httpx.AsyncClient, str], Awaitable[None]]

HEALTH_TIMEOUT_S = 10.0
POLL_S = 0.25
KILL_WAIT_S = 10.0
TAIL_BYTES = 8192
TAIL_LINES = 5

CHECK_FAILED = "the engine failed its start-up check"


class StartError(LaunchError):
    """`reason` is for clients: no path and nothing out of the log."""

    def __init__(self, reason: str, more: str) -> None:
        super().__init__(f"The {reason}; {more}")
        self.reason = f"the {reason}"


def engine_client(endpoint: Endpoint, timeout: httpx.Timeout | None = None) -> httpx.AsyncClient:
    uds = str(endpoint.uds) if endpoint.uds is not None else None
    return httpx.AsyncClient(
        base_url=endpoint.base_url,
        # Below the engine's own keep-alive, so that no request meets a connection just closed.
        transport=httpx.AsyncHTTPTransport(
            uds=uds,
            limits=httpx.Limits(max_connections=None, keepalive_expiry=2.0),
            # Never used, but httpx would read all certificates anew for each client.
            verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        ),
        timeout=timeout or httpx.Timeout(HEALTH_TIMEOUT_S),
        trust_env=False,
    )


class EngineProcess:
    """Started on entering, ended with all its children on leaving.

    It also ends when this process does, whatever the cause.
    """

    def __init__(
        self,
        command: Command,
        endpoint: Endpoint,
        model: str,
        *,
        log: Path | None = None,
        stop_grace_s: float = defaults.ENGINE_STOP_GRACE_S,
        check: Check = check_engine,
    ) -> None:
        self.endpoint = endpoint
        self.model = model
        self.log = log or Path(tempfile.mkdtemp(prefix="specserve-engine-")) / "engine.log"
        self._command = command
        self._stop_grace_s = stop_grace_s
        self._check = check
        self._process: Process | None = None

    @property
    def pid(self) -> int:
        """Also the id of the process group that holds the whole engine."""
        return self._started.pid

    @property
    def returncode(self) -> int | None:
        return self._started.returncode

    async def __aenter__(self) -> Self:
        """Raises LaunchError."""
        try:
            await self._start()
        except OSError as error:
            raise StartError(
                f"engine cannot be started: {error.strerror}", f"its log is {self.log}."
            ) from error
        return self

    async def _start(self) -> None:
        if self.endpoint.uds is not None:
            # An engine that was killed leaves its socket behind and the next could not bind.
            self.endpoint.uds.unlink(missing_ok=True)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as sink:
            self._process = await anyio.open_process(
                [sys.executable, "-I", keeper.__file__, *self._command.argv],
                env={**os.environ, **self._command.env},
                stdin=subprocess.PIPE,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop(self._stop_grace_s)

    async def wait(self) -> int:
        return await self._started.wait()

    async def wait_ready(self, timeout_s: float) -> None:
        """Until /health is green and a generated token was checked. Raises LaunchError."""
        try:
            with anyio.fail_after(timeout_s):
                async with engine_client(self.endpoint) as client:
                    await self._until_healthy(client)
                    await self._check(client, self.model)
        except TimeoutError as error:
            raise StartError(
                f"engine was not ready after {timeout_s:g} s", self.log_note()
            ) from error

    async def healthy(self, timeout_s: float = HEALTH_TIMEOUT_S) -> bool:
        async with engine_client(self.endpoint, httpx.Timeout(timeout_s)) as client:
            return await _healthy(client)

    async def stop(self, grace_s: float = defaults.ENGINE_STOP_GRACE_S) -> None:
        """SIGTERM to the group, SIGKILL after `grace_s`. Cannot be cancelled."""
        process = self._started
        with anyio.CancelScope(shield=True):
            self._signal(signal.SIGTERM)
            with anyio.move_on_after(grace_s):
                await process.wait()
            # Also after a clean end: a worker may have outlived the server that forked it.
            self._signal(signal.SIGKILL)
            with anyio.move_on_after(KILL_WAIT_S):
                await process.wait()
            await process.aclose()

    def log_tail(self, lines: int = 20) -> str:
        try:
            with self.log.open("rb") as source:
                source.seek(max(0, self.log.stat().st_size - TAIL_BYTES))
                text = source.read().decode(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def log_note(self) -> str:
        return f"its log is {self.log} and ends: {self.log_tail(TAIL_LINES)}"

    @property
    def _started(self) -> Process:
        if self._process is None:
            raise RuntimeError(
                "the engine is started by entering it: async with EngineProcess(...)"
            )
        return self._process

    async def _until_healthy(self, client: httpx.AsyncClient) -> None:
        while not await _healthy(client):
            if self.returncode is not None:
                raise StartError(
                    f"engine ended with code {self.returncode} while it was starting",
                    self.log_note(),
                )
            await anyio.sleep(POLL_S)

    def _signal(self, signum: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signum)


async def _healthy(client: httpx.AsyncClient) -> bool:
    try:
        response = await client.get("/health")
    except httpx.TransportError:
        return False
    return response.status_code == httpx.codes.OK

"""One start of an engine, timed up to its first healthy answer, and stopped again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress

import httpx

from neuron.artefacts.errors import ArtefactError
from neuron.launch import Command, Endpoint

POLL_S = 1.0
ANSWER_TIMEOUT_S = 5.0
STDERR = 2
STOP_S = 60.0
"""An engine lets its device go within it; then it is killed."""

Start = Callable[[Command, Endpoint, float], float]
"""Seconds to the first healthy answer, within a limit in seconds. Raises ArtefactError."""


class EngineStartError(ArtefactError):
    pass


def start_once(
    command: Command, endpoint: Endpoint, limit_s: float, *, poll_s: float = POLL_S
) -> float:
    """The engine's own output goes to stderr. Raises EngineStartError."""
    _check_free(endpoint)
    begun = time.monotonic()
    # A group of its own, so that its workers end with it.
    process = subprocess.Popen(
        command.argv,
        env={**os.environ, **command.env},
        stdin=subprocess.DEVNULL,
        stdout=STDERR,
        start_new_session=True,
    )
    try:
        _wait(process, endpoint, begun + limit_s, limit_s, poll_s)
        return time.monotonic() - begun
    finally:
        _stop(process)


def _check_free(endpoint: Endpoint) -> None:
    """Another engine's healthy answer would be taken for this one's."""
    with suppress(OSError), socket.create_connection((endpoint.host, endpoint.port or 0), 1.0):
        raise EngineStartError(
            f"Something answers at {endpoint.base_url} already: stop it, or give another --port."
        )


def _wait(
    process: subprocess.Popen[bytes],
    endpoint: Endpoint,
    deadline: float,
    limit_s: float,
    poll_s: float,
) -> None:
    with httpx.Client(
        base_url=endpoint.base_url, timeout=ANSWER_TIMEOUT_S, trust_env=False
    ) as client:
        while True:
            code = process.poll()
            if code is not None:
                raise EngineStartError(
                    f"The engine ended with code {code} before it was healthy: its last lines on "
                    "stderr say why; what it had compiled stays in the compiler's cache."
                )
            with suppress(httpx.TransportError):
                if client.get("/health").is_success:
                    return
            if time.monotonic() > deadline:
                raise EngineStartError(
                    f"The engine was not healthy after {limit_s:.0f} s: give --limit-s a larger "
                    "number; what it had compiled stays in the compiler's cache."
                )
            time.sleep(poll_s)


def _stop(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_S)
    # Workers may outlive the process that was waited for.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()

"""The port, and uvicorn on it without its own idea of signals."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from neuron.errors import SpecserveError

CLOSE_S = 3


class Listener(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # server.shutdown has them: uvicorn would close the port first and drain without a bound.
        yield


def make_listener(app: ASGIApp) -> Listener:
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=CLOSE_S,
        timeout_keep_alive=75,
        server_header=False,
        lifespan="off",
    )
    return Listener(config)


def bind(host: str, port: int) -> socket.socket:
    """Before the engine starts, so that a taken port is known at once."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise SpecserveError(
            f"Cannot listen on {host}:{port}: {error.strerror}; choose another --port or --host."
        ) from error
    return listener

"""The port, and uvicorn on it without its own idea of signals and of errors."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from functools import partial

import uvicorn
from starlette.types import ASGIApp

from neuron.errors import SpecserveError
from server import defaults
from server.connections import ConnectionLimit
from server.protocol import Protocol

CLOSE_S = 3
KEEP_ALIVE_S = 75


class Listener(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # server.shutdown has them: uvicorn would close the port first and drain without a bound.
        yield


def make_listener(
    app: ASGIApp,
    keep_alive_s: int = KEEP_ALIVE_S,
    head_timeout_s: float = defaults.HEADER_TIMEOUT_S,
    limit: ConnectionLimit | None = None,
) -> Listener:
    config = uvicorn.Config(
        app,
        http=partial(  # type: ignore[arg-type]
            Protocol, head_timeout_s=head_timeout_s, limit=limit or ConnectionLimit()
        ),
        ws="none",
        # Its warnings are about what clients send, and no client writes our log.
        log_level="error",
        access_log=False,
        timeout_graceful_shutdown=CLOSE_S,
        timeout_keep_alive=keep_alive_s,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
    )
    return Listener(config)


def bind(host: str, port: int, options: str = "--") -> socket.socket:
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
            f"Cannot listen on {host}:{port}: {error.strerror}; "
            f"choose another {options}port or {options}host."
        ) from error
    return listener


def url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

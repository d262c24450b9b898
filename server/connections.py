"""How many connections clients may hold, and the file descriptors for them."""

from __future__ import annotations

import resource
from collections.abc import Callable
from dataclasses import dataclass

from server import defaults
from server.config.sources import SettingsError

OTHER_DESCRIPTORS = 256
"""For engines' probes, pipes and logs, for metrics, for connections that are being turned away."""


@dataclass(frozen=True)
class ConnectionLimit:
    connections: int = defaults.MAX_CONNECTIONS
    on_refused: Callable[[], None] = lambda: None


def require_descriptors(max_connections: int, max_in_flight: int) -> None:
    """Raises this process's soft limit as far as needed, or SettingsError where it may not.

    Without them a client would be reset without a word, or its request find no way to an engine.
    """
    needed = max_connections + max_in_flight + OTHER_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and needed > hard:
        raise SettingsError(
            f"--max-connections {max_connections} and --max-in-flight {max_in_flight} need "
            f"{needed} open files, but this process may have {hard}: lower them, or raise the "
            "limit (ulimit -Hn, LimitNOFILE=)."
        )
    if soft != resource.RLIM_INFINITY and needed > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))

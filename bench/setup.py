"""What a test replaces in a command."""

from dataclasses import dataclass

from bench.busy import WATCH_S
from bench.client_limit import CLIENT_LIMITS, ClientLimits
from bench.engines import Starter, start_process


@dataclass(frozen=True)
class Setup:
    start: Starter = start_process
    """How engines start."""
    watch_s: float = WATCH_S
    """How long other processes are watched."""
    limits: ClientLimits = CLIENT_LIMITS
    """When the client is the limit."""

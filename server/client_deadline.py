"""How long a client says that it will wait."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from starlette.types import Scope

from server.errors import invalid
from server.responses import header

DEADLINE = "x-specserve-timeout-ms"
# OpenAI's SDKs say when they give up on an answer that has not begun, in seconds: the Python
# client with the first name, older ones and JavaScript's with the second.
SDK_TIMEOUTS = ("x-stainless-read-timeout", "x-stainless-timeout")
# What a refusal needs to reach a client that gives up on the second.
MARGIN = 0.1


@dataclass(frozen=True)
class ClientPatience:
    """Seconds from the request's arrival; None: the client does not say."""

    whole_s: float | None = None
    begin_s: float | None = None

    def queue_s(self, limit_s: float, passed_s: float) -> float:
        """How long it may still wait for its turn."""
        said = [seconds for seconds in (self.whole_s, self.begin_s) if seconds is not None]
        left = [seconds * (1 - MARGIN) - passed_s for seconds in said]
        return max(0.0, min([limit_s, *left]))


def patience_of(scope: Scope) -> ClientPatience:
    """Raises ApiError where our own header is not well formed."""
    return ClientPatience(_own(scope), _sdk(scope))


def _own(scope: Scope) -> float | None:
    text = header(scope, DEADLINE)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 9 or int(text) == 0:
        raise invalid(
            f"{DEADLINE} is {text[:80]!r}; send whole milliseconds, 1 or more.", param=DEADLINE
        )
    return int(text) / 1000


def _sdk(scope: Scope) -> float | None:
    for name in SDK_TIMEOUTS:
        try:
            seconds = float(header(scope, name) or "")
        except ValueError:
            continue
        if isfinite(seconds) and seconds > 0:
            return seconds
    return None

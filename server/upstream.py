"""One engine, as the relay sees it: a POST out, its answer back as it comes.

UpstreamError                   the engine gave no whole answer
├── UpstreamRefusedError        no connection: the engine has seen nothing of the request
│   └── UpstreamTimeoutError    no connection within the connect timeout
└── UpstreamLostError           the connection ended early, or what came on it is no HTTP
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

Take = Callable[[bytes], bool]


class UpstreamError(Exception):
    pass


class UpstreamRefusedError(UpstreamError):
    pass


class UpstreamTimeoutError(UpstreamRefusedError):
    pass


class UpstreamLostError(UpstreamError):
    pass


class UpstreamAnswer(Protocol):
    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]:
        """By name in lower case."""
        ...

    async def feed(self, take: Take) -> bool:
        """Calls `take` with each piece of the body in the moment it comes, until it returns False.

        Returns whether there may be more; False is the end. Raises UpstreamLostError, and what
        `take` raises. Until it is called again the engine is not read.
        """
        ...

    async def rest(self) -> bytes:
        """Raises UpstreamLostError."""
        ...


class Upstream(Protocol):
    def post(
        self, path: str, body: bytes, headers: Mapping[str, str] | None = None
    ) -> AbstractAsyncContextManager[UpstreamAnswer]:
        """`headers` are more than what any POST has, and fit for a wire.

        Entered when the head of the answer is there. Raises UpstreamError.

        Left before the body's end, the connection is closed: that is what stops the engine.
        """
        ...

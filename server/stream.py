"""An engine's stream as the relay sees it, whichever API it is of."""

from __future__ import annotations

from typing import Protocol

from server.chunk_stream import ChunkReader
from server.openai_request import RESPONSES_PATH, CompletionRequest
from server.response_stream import ResponseReader
from server.sse import Event
from server.structured import Fault, Verdict
from server.usage import Acceptance, Pool, Tokens


class Reader(Protocol):
    """Raises ApiError from all its methods where the engine's stream is not as it should be."""

    @property
    def done(self) -> bool: ...

    @property
    def chunks(self) -> int:
        """With a step's tokens in them."""
        ...

    @property
    def single(self) -> bool:
        """One choice so far: what lies between two chunks is one step."""
        ...

    @property
    def tokens(self) -> Tokens | None: ...

    @property
    def running(self) -> int | None:
        """Tokens so far, where the engine counts as it goes."""
        ...

    @property
    def acceptance(self) -> Acceptance | None: ...

    @property
    def verdict(self) -> Verdict | Fault | None: ...

    @property
    def due(self) -> bool:
        """`settled` has the next bytes for the client."""
        ...

    @property
    def cut(self) -> bool:
        """The engine is to be stopped: nobody needs the rest."""
        ...

    def read(self, event: Event) -> bytes | None:
        """The bytes for the client; None where the event is not for it."""
        ...

    async def settled(self) -> bytes: ...

    def end(self) -> None:
        """The engine closed the stream."""
        ...


def reader_for(request: CompletionRequest, pool: Pool, retry_after_s: float) -> Reader:
    kind = ResponseReader if request.path == RESPONSES_PATH else ChunkReader
    return kind(request, pool, retry_after_s)

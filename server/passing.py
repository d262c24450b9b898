"""A stream from the engine to the client, piece by piece and without a wait between."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from server.answer import Answer
from server.errors import engine_lost
from server.metrics import PoolMetrics
from server.sse import EventParser, EventTooLongError
from server.stream import StreamReader
from server.timeouts import Patience
from server.usage import Tokens


class Watch(Protocol):
    """Who balances by what an answer has given so far."""

    def chunk(self) -> None:
        """The tokens of a step."""
        ...

    def counted(self, tokens: Tokens | None) -> None:
        """Of the whole answer, at its end; None where the engine did not say."""
        ...


@dataclass
class Passing:
    reader: StreamReader
    answer: Answer
    patience: Patience
    watch: Watch
    metrics: PoolMetrics
    clock: Callable[[], float]
    began: float
    _last: float | None = None
    _parser: EventParser = field(default_factory=EventParser)

    def take(self, piece: bytes) -> bool:
        """Called as the piece comes; False: stop here, flush the answer, then go on.

        What one read brought goes out in one write, up to an event that is wrong. Raises ApiError.
        """
        self.patience.heard()
        passed: list[bytes] = []
        try:
            for event in self._parser.feed(piece):
                seen, data = self.reader.chunks, self.reader.read(event)
                if self.reader.chunks > seen:
                    self._timed()
                if data is not None:
                    passed.append(data)
        except EventTooLongError as error:
            raise engine_lost(self.reader.retry_after_s) from error
        finally:
            gone = not passed or self.answer.offer(b"".join(passed))
        return gone and not self.reader.done

    def _timed(self) -> None:
        self.watch.chunk()
        now = self.clock()
        if self._last is None:
            self.patience.begun()
            self.metrics.first_chunk(now - self.began)
        elif self.reader.single:
            self.metrics.step_gap(now - self._last)
        self._last = now

"""A stream from the engine to the client, piece by piece and without a wait between."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from server.answer import Answer
from server.errors import engine_lost
from server.metrics import PoolMetrics
from server.sse import Event, EventParser, EventTooLongError
from server.stream import Reader
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
    reader: Reader
    retry_after_s: float
    answer: Answer
    patience: Patience
    watch: Watch
    metrics: PoolMetrics
    clock: Callable[[], float]
    began: float
    _first: float | None = None
    _last: float | None = None
    _in_first_read: int | None = None
    """Tokens; 0 where nobody knows."""
    _waiting: list[Event] = field(default_factory=list)
    """Came together with an event that has to be settled first."""
    _parser: EventParser = field(default_factory=EventParser)

    def take(self, piece: bytes) -> bool:
        """Called as the piece comes; False: stop here, flush the answer, then go on.

        What one read brought goes out in one write, up to an event that is wrong. Raises ApiError.
        """
        self.patience.heard()
        try:
            return self._read(self._parser.feed(piece))
        except EventTooLongError as error:
            raise engine_lost(self.retry_after_s) from error

    async def settle(self) -> None:
        """What had to wait, and all that waits behind it. Raises ApiError."""
        while self.reader.due:
            self.answer.offer(await self.reader.settled())
            waiting, self._waiting = self._waiting, []
            self._read(waiting)

    def ended(self) -> None:
        """The answer is whole."""
        tokens, first = self.reader.tokens, self._in_first_read
        if tokens is None or not first or tokens.completion <= first or not self.reader.single:
            return
        if self._first is not None and self._last is not None:
            self.metrics.per_token((self._last - self._first) / (tokens.completion - first))

    def _read(self, events: Sequence[Event]) -> bool:
        passed: list[bytes] = []
        reader = self.reader
        try:
            for place, event in enumerate(events):
                seen, data = reader.chunks, reader.read(event)
                if reader.chunks > seen:
                    self._timed()
                if data is not None:
                    passed.append(data)
                if reader.due:
                    self._waiting = list(events[place + 1 :])
                    break
        finally:
            gone = not passed or self.answer.offer(b"".join(passed))
        if self._in_first_read is None and reader.chunks:
            # A chunk that came alone holds one token: a prompt's step gives no more.
            alone = 1 if reader.chunks == 1 else 0
            self._in_first_read = reader.running or alone
        return gone and not reader.done and not reader.due

    def _timed(self) -> None:
        self.watch.chunk()
        now = self.clock()
        if self._last is None:
            self.patience.begun()
            self._first = now
            self.answer.record.saw_token()
            self.metrics.first_token(now - self.began)
        elif self.reader.single:
            self.metrics.step_gap(now - self._last)
        self._last = now

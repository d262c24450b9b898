"""Server-sent events, read from any split of the bytes."""

from __future__ import annotations

from dataclasses import dataclass

DONE = b"[DONE]"
MAX_EVENT_BYTES = 16 * 1024 * 1024


class EventTooLongError(Exception):
    pass


@dataclass(frozen=True)
class Event:
    lines: tuple[bytes, ...]
    """As they came, without line ends."""

    @property
    def data(self) -> bytes | None:
        """None: a comment or another field only."""
        parts = [part for line in self.lines if (part := _data(line)) is not None]
        return b"\n".join(parts) if parts else None

    def encode(self) -> bytes:
        return b"\n".join(self.lines) + b"\n\n"


def _data(line: bytes) -> bytes | None:
    name, _, value = line.partition(b":")
    if name != b"data":
        return None
    return value.removeprefix(b" ")


class EventParser:
    """Gives out an event on the byte that ends it, whichever of LF, CRLF or CR ends lines."""

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max = max_event_bytes
        self._rest = bytearray()
        self._lines: list[bytes] = []
        self._size = 0
        self._skip_lf = False

    def feed(self, chunk: bytes) -> list[Event]:
        events: list[Event] = []
        for piece in chunk.splitlines(keepends=True):
            event = self._piece(piece)
            if event is not None:
                events.append(event)
        return events

    def _piece(self, piece: bytes) -> Event | None:
        if self._skip_lf and piece == b"\n" and not self._rest:
            # The second half of a CRLF that two reads tore apart.
            self._skip_lf = False
            return None
        self._skip_lf = piece.endswith(b"\r")
        self._size += len(piece)
        if self._size > self._max:
            raise EventTooLongError
        self._rest += piece
        if not piece.endswith((b"\n", b"\r")):
            return None
        line = bytes(self._rest).rstrip(b"\r\n")
        self._rest.clear()
        return self._line(line)

    def _line(self, line: bytes) -> Event | None:
        if line:
            self._lines.append(line)
            return None
        lines, self._lines, self._size = tuple(self._lines), [], 0
        return Event(lines) if lines else None

"""Server-sent events, read from any split of the bytes."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

DONE = b"[DONE]"
DATA = b"data: "
MAX_EVENT_BYTES = 16 * 1024 * 1024


class EventTooLongError(Exception):
    pass


class Event(NamedTuple):
    raw: bytes
    """All of it, with LF as its line ends."""
    data: bytes | None
    """None: a comment or another field only."""


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
        rest = self._usual(chunk, events) if self._size == 0 else 0
        if rest == len(chunk):
            return events
        for piece in chunk[rest:].splitlines(keepends=True):
            event = self._piece(piece)
            if event is not None:
                events.append(event)
        return events

    def _usual(self, chunk: bytes, events: list[Event]) -> int:
        """Events of one line of data, as engines write them; returns where those end."""
        begin = 0
        while chunk.startswith(DATA, begin):
            end = chunk.find(b"\n", begin)
            if not chunk.startswith(b"\n\n", end) or end - begin > self._max:
                break
            data = chunk[begin + len(DATA) : end]
            if b"\r" in data:
                break
            events.append(Event(chunk[begin : end + 2], data))
            begin = end + 2
            self._skip_lf = False
        return begin

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
        lines, self._lines, self._size = self._lines, [], 0
        return _event(b"\n".join(lines)) if lines else None


def _event(block: bytes) -> Event:
    """`block` is an event's lines without the blank one that ends it."""
    parts = [part for line in block.split(b"\n") if (part := _data(line)) is not None]
    return Event(block + b"\n\n", b"\n".join(parts) if parts else None)


def _data(line: bytes) -> bytes | None:
    name, _, value = line.partition(b":")
    if name != b"data":
        return None
    return value.removeprefix(b" ")


def sse(document: dict[str, Any], event: str | None = None) -> bytes:
    """An event of our own; `event` is its name."""
    name = b"" if event is None else b"event: " + event.encode() + b"\n"
    return name + b"data: " + msgspec.json.encode(document) + b"\n\n"

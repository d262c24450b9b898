"""Server-sent events out of arbitrary byte pieces."""


class EventSplitter:
    """Feeds on pieces cut anywhere, also inside a character; gives the data of whole events."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> list[bytes]:
        events: list[bytes] = []
        *complete, rest = piece.split(b"\n")
        for part in complete:
            self._line += part
            self._end_line(events)
        self._line += rest
        return events

    def _end_line(self, events: list[bytes]) -> None:
        line = bytes(self._line).removesuffix(b"\r")
        self._line.clear()
        if not line:
            if self._data:
                events.append(b"\n".join(self._data))
            self._data.clear()
        elif line == b"data" or line.startswith(b"data:"):
            self._data.append(line[5:].removeprefix(b" "))

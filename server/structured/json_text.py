"""How far a JSON text has come that arrives in pieces, and how much white space is in it."""

from __future__ import annotations

WHITE = frozenset(" \t\n\r")
OPEN, CLOSE = frozenset("{["), frozenset("}]")


class JsonProgress:
    """It trusts the text to be JSON; what is not, a check of the whole finds."""

    def __init__(self) -> None:
        self.complete = False
        """An object, array or string has ended. A bare number ends with the text only."""
        self.white = 0
        """White space since the last other character, outside of strings."""
        self._depth = 0
        self._in_string = False
        self._escaped = False

    def feed(self, text: str) -> None:
        for character in text:
            if self._in_string:
                self._string(character)
            elif character in WHITE:
                self.white += 1
            else:
                self.white = 0
                self._other(character)

    def _string(self, character: str) -> None:
        if self._escaped:
            self._escaped = False
        elif character == "\\":
            self._escaped = True
        elif character == '"':
            self._in_string = False
            self.complete = self._depth == 0

    def _other(self, character: str) -> None:
        # What follows a whole value makes it no JSON, and no longer complete.
        self.complete = False
        if character == '"':
            self._in_string = True
        elif character in OPEN:
            self._depth += 1
        elif character in CLOSE:
            self._depth -= 1
            self.complete = self._depth == 0

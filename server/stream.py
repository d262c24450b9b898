"""One engine stream: what of it the client gets, and whether it ended well."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from server.engine_errors import translate_event
from server.engine_json import read_object
from server.errors import engine_lost
from server.openai_request import CompletionRequest
from server.sse import DONE, Event
from server.usage import Acceptance, Pool, Tokens, acceptance_of, tokens_of, with_acceptance


@dataclass
class StreamReader:
    """Raises ApiError from `read` and `end` where the engine's stream is not whole."""

    request: CompletionRequest
    pool: Pool
    retry_after_s: float
    tokens: Tokens | None = None
    acceptance: Acceptance | None = None
    done: bool = False
    chunks: int = 0
    """With a step's tokens in them: usage is none, nor is the role that opens a chat."""
    _open: set[int] = field(default_factory=set)
    _closed: set[int] = field(default_factory=set)

    def read(self, event: Event) -> bytes | None:
        """The bytes for the client; None where the event is not for it."""
        data = event.data
        if data is None:
            return event.raw
        if data.strip() == DONE:
            return self._end_mark(event)
        document = read_object(data)
        if document is None:
            raise engine_lost(self.retry_after_s)
        if document.get("error"):
            raise translate_event(
                document["error"], request=self.request, retry_after_s=self.retry_after_s
            )
        choices = document.get("choices")
        listed = choices if isinstance(choices, list) else []
        self._follow(listed)
        if document.get("usage") and not choices:
            return self._usage(document)
        return event.raw

    @property
    def single(self) -> bool:
        """One choice so far: what lies between two chunks is one step."""
        return len(self._open | self._closed) == 1

    def end(self) -> None:
        """The engine closed the stream."""
        if not self.done:
            raise engine_lost(self.retry_after_s)

    def _end_mark(self, event: Event) -> bytes:
        # vLLM also writes [DONE] after its core died; only a finish_reason proves an end.
        if not self._closed or self._open:
            raise engine_lost(self.retry_after_s)
        self.done = True
        return event.raw

    def _follow(self, choices: list[Any]) -> None:
        has_tokens = False
        for choice in choices:
            if not isinstance(choice, dict):
                continue
            has_tokens = has_tokens or not _only_role(choice)
            index = choice.get("index", 0)
            if choice.get("finish_reason") is not None:
                self._closed.add(index)
                self._open.discard(index)
            elif index not in self._closed:
                self._open.add(index)
        self.chunks += has_tokens

    def _usage(self, document: dict[str, Any]) -> bytes | None:
        self.tokens = tokens_of(document)
        self.acceptance = acceptance_of(document, self.pool)
        if not self.request.wants_usage:
            return None
        full = with_acceptance(document, self.acceptance)
        return b"data: " + msgspec.json.encode(full) + b"\n\n"


def _only_role(choice: dict[str, Any]) -> bool:
    delta = choice.get("delta")
    if choice.get("finish_reason") is not None or not isinstance(delta, dict):
        return False
    return "role" in delta and not any(value for name, value in delta.items() if name != "role")

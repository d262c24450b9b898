"""A stream of chat or completion chunks: what the client gets, and whether it ended well."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from server.engine_errors import translate_event
from server.engine_json import read_object
from server.errors import engine_lost
from server.openai_request import CompletionRequest
from server.sse import DONE, Event, sse
from server.structured import Fault, Verdict
from server.structured.guard import StreamGuard
from server.usage import Acceptance, Pool, Tokens, acceptance_of, tokens_of, with_acceptance


@dataclass
class ChunkReader:
    """Of chat and completion chunks."""

    request: CompletionRequest
    pool: Pool
    retry_after_s: float
    tokens: Tokens | None = None
    running: int | None = None
    acceptance: Acceptance | None = None
    done: bool = False
    chunks: int = 0
    """Usage is none, nor is the role that opens a chat."""
    _guard: StreamGuard | None = None
    _open: set[int] = field(default_factory=set)
    _closed: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        if self.request.contract is not None:
            self._guard = StreamGuard(
                self.request.contract, self.request.choices, self.request.wants_running_usage
            )

    def read(self, event: Event) -> bytes | None:
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
        usage = document.get("usage")
        if usage and not choices:
            return self._usage(document)
        if isinstance(usage, dict):
            self.running = usage.get("completion_tokens")
        if self._guard is not None:
            return self._guard.read(document)
        return event.raw

    @property
    def single(self) -> bool:
        return len(self._open | self._closed) == 1

    @property
    def due(self) -> bool:
        return self._guard is not None and self._guard.due

    @property
    def cut(self) -> bool:
        return self._guard is not None and self._guard.cut

    @property
    def verdict(self) -> Verdict | Fault | None:
        return None if self._guard is None else self._guard.verdict

    async def settled(self) -> bytes:
        if self._guard is None:
            raise RuntimeError("nothing is due")
        try:
            last = await self._guard.settled()
        finally:
            # The engine's own count may never come.
            self.tokens = tokens_of({"usage": self._guard.usage})
        if not self._guard.cut:
            return last
        self.done = True
        return last + self._usage_of_what_came() + b"data: " + DONE + b"\n\n"

    def end(self) -> None:
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
        return sse(with_acceptance(document, self.acceptance))

    def _usage_of_what_came(self) -> bytes:
        guard = self._guard
        if guard is None or guard.usage is None or not self.request.wants_usage:
            return b""
        return sse({**guard.head, "choices": [], "usage": guard.usage})


def _only_role(choice: dict[str, Any]) -> bool:
    delta = choice.get("delta")
    if choice.get("finish_reason") is not None or not isinstance(delta, dict):
        return False
    return "role" in delta and not any(value for name, value in delta.items() if name != "role")

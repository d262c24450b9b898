"""A stream of /v1/responses: events with types, and no [DONE]."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from server.engine_errors import translate_event
from server.engine_json import read_object
from server.errors import ApiError, engine_lost
from server.openai_request import CompletionRequest
from server.sse import Event, sse
from server.structured import Fault, Verdict
from server.structured.watcher import Action, Watcher
from server.structured.whole import examined
from server.usage import Acceptance, Pool, Tokens, acceptance_of, tokens_of, with_acceptance

ENDS = ("response.completed", "response.incomplete")
FAILURES = ("response.failed", "error")


@dataclass
class ResponseReader:
    request: CompletionRequest
    pool: Pool
    retry_after_s: float
    tokens: Tokens | None = None
    acceptance: Acceptance | None = None
    verdict: Verdict | Fault | None = None
    done: bool = False
    chunks: int = 0
    cut: bool = False
    running: None = None
    """The engine does not count as it goes here."""
    single: bool = True
    _watcher: Watcher | None = None
    _opened: dict[str, Any] = field(default_factory=dict)
    """The response as it was when it began."""
    _items: list[object] = field(default_factory=list)
    _last: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.request.contract is not None:
            self._watcher = Watcher(self.request.contract)

    @property
    def due(self) -> bool:
        return self._last is not None and not self.done

    def read(self, event: Event) -> bytes | None:
        if event.data is None:
            return event.raw
        document = read_object(event.data)
        if document is None:
            raise engine_lost(self.retry_after_s)
        kind = document.get("type")
        if kind in FAILURES or document.get("error"):
            raise self._failure(document)
        if kind == "response.created":
            self._opened = document.get("response") or {}
        if kind in ENDS:
            self._last = document
            return None
        if kind == "response.output_item.done":
            self._items.append(document.get("item"))
        if isinstance(kind, str) and kind.endswith(".delta"):
            self.chunks += 1
            self._follow(kind, document)
        return event.raw

    async def settled(self) -> bytes:
        if self._last is None:
            raise RuntimeError("the stream is not at its end")
        response = self._last.get("response") or {}
        self.tokens = tokens_of(response)
        self.acceptance = acceptance_of(response, self.pool)
        response = with_acceptance(response, self.acceptance)
        if self.request.contract is not None:
            response, self.verdict = await examined(self.request.contract, response)
            if isinstance(self.verdict, Fault):
                raise self.verdict.error()
        self.done = True
        return sse({**self._last, "response": response}, event=str(self._last["type"]))

    def end(self) -> None:
        if not self.done:
            raise engine_lost(self.retry_after_s)

    def _follow(self, kind: str, document: dict[str, Any]) -> None:
        if self._watcher is None:
            return
        action: Action = "pass"
        piece = str(document.get("delta") or "")
        if kind == "response.output_text.delta":
            action = self._watcher.feed(piece)
        elif kind == "response.function_call_arguments.delta":
            action = self._watcher.feed_call(document.get("output_index", 0), "", piece)
        if action == "too_long":
            self.verdict = Fault("too_costly", "it is too long to be checked")
            raise self.verdict.error()
        if kind == "response.output_text.delta" and action != "pass":
            self.cut = True
            self._last = self._ended_here(whole=action == "end", after=document)

    def _ended_here(self, *, whole: bool, after: dict[str, Any]) -> dict[str, Any]:
        """The end that the engine would have sent, of what has come."""
        status = "completed" if whole else "incomplete"
        part: dict[str, object] = {
            "type": "output_text",
            "text": self._said,
            "annotations": [],
            "logprobs": None,
        }
        item = {
            "type": "message",
            "id": after.get("item_id"),
            "role": "assistant",
            "status": status,
            "content": [part],
        }
        response = {**self._opened, "status": status, "output": [*self._items, item]}
        if not whole:
            response["incomplete_details"] = {"reason": "max_output_tokens"}
        number = after.get("sequence_number", 0) + 1
        return {"type": f"response.{status}", "sequence_number": number, "response": response}

    @property
    def _said(self) -> str:
        return "" if self._watcher is None else self._watcher.said.text

    def _failure(self, document: dict[str, Any]) -> ApiError:
        inner = document.get("error") or (document.get("response") or {}).get("error") or document
        return translate_event(inner, request=self.request, retry_after_s=self.retry_after_s)

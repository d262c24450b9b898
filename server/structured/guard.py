"""A stream of chat or completion chunks that was asked for a form.

Its last chunk waits for the verdict. A choice that runs away into white space is ended here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from server.sse import sse
from server.structured.contract import Contract
from server.structured.fault import Fault, Verdict
from server.structured.watcher import Action, Watcher
from server.structured.whole import marked, verdict_of, worst
from server.structured.wire import calls_of, cut_short, mapping, text_of

Document = dict[str, Any]
HEAD = ("id", "object", "created", "model")
TOO_LONG = Fault("too_costly", "it is too long to be checked")


@dataclass
class StreamGuard:
    contract: Contract
    n: int
    """Choices that the stream will have."""
    shows_usage: bool
    """In every chunk, because the client asked for it; it is there anyway."""
    cut: bool = False
    """The engine is still at work on what nobody needs."""
    verdict: Verdict | Fault | None = None
    usage: Document | None = None
    """As the last chunk had it."""
    head: Document = field(default_factory=dict)
    """What all chunks have in common."""
    _watchers: dict[int, Watcher] = field(default_factory=dict)
    _finished: dict[int, bool] = field(default_factory=dict)
    """By index; whether it was cut short."""
    _ended: dict[int, Action] = field(default_factory=dict)
    """By us."""
    _last: Document | None = None

    @property
    def due(self) -> bool:
        """Nothing more will come, and `settled` says what the client gets."""
        return self._last is not None and self.verdict is None

    def read(self, document: Document) -> bytes | None:
        """The bytes for the client. Raises ApiError."""
        usage = document.get("usage")
        self.usage = usage if isinstance(usage, dict) else self.usage
        self.head = self.head or {name: document[name] for name in HEAD if name in document}
        listed = [one for one in document.get("choices") or () if isinstance(one, dict)]
        shown = [choice for choice in listed if self._follow(choice)]
        kept = {**document, "choices": shown}
        if not self.shows_usage:
            kept.pop("usage", None)
        if len(self._finished) + len(self._ended) >= self.n:
            self._last = kept
            return None
        return sse(kept) if shown else None

    async def settled(self) -> bytes:
        """The chunk that ends the stream. Raises ApiError for an answer that is not as asked."""
        if self._last is None:
            raise RuntimeError("the stream is not at its end")
        self.verdict = worst(
            [
                await verdict_of(self.contract, watcher.said, short=self._short(index))
                for index, watcher in sorted(self._watchers.items())
            ]
        )
        if isinstance(self.verdict, Fault):
            raise self.verdict.error()
        self.cut = bool(self._ended)
        return sse(marked(self._with_ends(self._last), self.verdict))

    def _follow(self, choice: Document) -> bool:
        """Whether the client sees it."""
        index = choice.get("index", 0)
        if index in self._ended:
            return False
        action = self._fed(index, choice)
        if choice.get("finish_reason") is not None:
            self._finished[index] = cut_short(choice)
        elif action in ("end", "cut"):
            self._ended[index] = action
        return True

    def _short(self, index: int) -> bool:
        return self._finished.get(index, self._ended.get(index) == "cut")

    def _fed(self, index: int, choice: Document) -> Action:
        watcher = self._watchers.setdefault(index, Watcher(self.contract))
        delta = mapping(choice.get("delta"))
        actions = [watcher.feed(text_of(choice, delta))]
        actions += [watcher.feed_call(*call) for call in calls_of(delta)]
        if "too_long" in actions:
            self.verdict = TOO_LONG
            raise TOO_LONG.error()
        return next((action for action in actions if action != "pass"), "pass")

    def _with_ends(self, document: Document) -> Document:
        choices = {choice.get("index", 0): choice for choice in document["choices"]}
        for index, action in self._ended.items():
            reason = "stop" if action == "end" else "length"
            empty = {"index": index, "text" if self._plain_text else "delta": self._nothing}
            choices[index] = {**choices.get(index, empty), "finish_reason": reason}
        return {**document, "choices": [choices[index] for index in sorted(choices)]}

    @property
    def _plain_text(self) -> bool:
        return self._last is not None and self._last.get("object") == "text_completion"

    @property
    def _nothing(self) -> object:
        return "" if self._plain_text else {}

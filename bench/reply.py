"""What the reads of one exchange amount to."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import h11

from bench.events import Event
from bench.record import Reply, Speculation
from bench.sse import EventSplitter
from bench.wire import Exchange


@dataclass
class _Draft:
    """A reply while its events are read."""

    status: int = 0
    events: list[Event] = field(default_factory=list)
    usage: Mapping[str, Any] | None = None
    grown: list[int] = field(default_factory=list)
    """By how many tokens the usage grew with each event."""
    speculation: Speculation | None = None
    finish_reason: str | None = None
    error: str | None = None
    done: bool = False

    def counted(self) -> tuple[Literal["token_ids", "usage"] | None, tuple[Event, ...]]:
        """Never one token per chunk: what the server does not tell is not known."""
        if any(event.token_ids for event in self.events):
            return "token_ids", tuple(
                event.model_copy(update={"tokens": len(event.token_ids)}) for event in self.events
            )
        # Usage that comes once, at the end, says nothing of the chunks.
        if any(
            grown and event.choices for grown, event in zip(self.grown, self.events, strict=True)
        ):
            return "usage", tuple(
                event.model_copy(update={"tokens": grown})
                for grown, event in zip(self.grown, self.events, strict=True)
            )
        return None, tuple(self.events)

    def problem(self, transport: str | None, events: Sequence[Event]) -> str | None:
        """The first thing that makes the reply unusable."""
        counted = sum(event.tokens for event in events)
        promised = None if self.usage is None else self.usage.get("completion_tokens")
        checks = (
            (transport is not None, transport),
            (self.error is not None, self.error),
            (self.status != 200, f"HTTP status {self.status}"),
            (not self.done, "the stream ended without [DONE]"),
            (self.finish_reason is None, "no finish_reason"),
            (promised is None, "no usage in the stream"),
            (promised == 0, "no tokens"),
            (
                not counted,
                "the server told neither token ids nor usage with its chunks, so nobody knows how "
                "many tokens each held",
            ),
            (counted != promised, f"{counted} tokens in chunks, {promised} in usage"),
        )
        return next((text for failed, text in checks if failed), None)


def read_reply(done: Exchange) -> Reply:
    """Usable or not: what is wrong with it is in its `problem`."""
    draft = _Draft()
    error = done.problem
    try:
        for index, data in _events(done, draft):
            _take(draft, data, done.reads[index].at_ns - done.sent_ns, index)
    except h11.RemoteProtocolError as fault:
        error = error or f"broken HTTP: {fault}"
    except (ValueError, KeyError, TypeError, AttributeError) as fault:
        error = error or f"unreadable event: {fault!r}"
    usage = draft.usage or {}
    counted_by, events = draft.counted()
    return Reply(
        status=draft.status,
        events=events,
        reads=len(done.reads),
        ended_ns=done.ended_ns - done.sent_ns,
        prompt_tokens=usage.get("prompt_tokens"),
        completion_tokens=usage.get("completion_tokens"),
        counted_by=counted_by,
        finish_reason=draft.finish_reason,
        speculation=draft.speculation,
        problem=draft.problem(error, events),
    )


def _events(done: Exchange, draft: _Draft) -> Iterator[tuple[int, bytes]]:
    """The data of each event with the index of the read that completed it."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    connection.send(h11.EndOfMessage())
    splitter = EventSplitter()
    refusal = bytearray()
    ended = False
    for index, read in enumerate(done.reads):
        connection.receive_data(read.data)
        while not ended:
            event = connection.next_event()
            if isinstance(event, h11.Response):
                draft.status = event.status_code
            elif isinstance(event, h11.Data) and draft.status == 200:
                for data in splitter.feed(bytes(event.data)):
                    yield index, data
            elif isinstance(event, h11.Data):
                refusal += event.data
            elif isinstance(event, h11.EndOfMessage):
                ended = True
            else:
                break
    if refusal:
        draft.error = f"HTTP status {draft.status}: {refusal.decode(errors='replace')[:300]}"


def _take(draft: _Draft, data: bytes, at_ns: int, read: int) -> None:
    if data.strip() == b"[DONE]":
        draft.done = True
        return
    event = json.loads(data)
    if "error" in event:
        draft.error = f"error in the stream: {json.dumps(event['error'])[:300]}"
        return
    before = 0 if draft.usage is None else draft.usage["completion_tokens"]
    draft.usage = event.get("usage") or draft.usage
    draft.grown.append(0 if draft.usage is None else draft.usage["completion_tokens"] - before)
    spoken = (event.get("metrics") or {}).get("speculative_decoding")
    if spoken is not None:
        draft.speculation = _speculation(spoken)
    tokens, text = list[int](), ""
    choices = event.get("choices") or ()
    for choice in choices:
        tokens += choice.get("token_ids") or ()
        text += choice.get("text") or (choice.get("delta") or {}).get("content") or ""
        draft.finish_reason = choice.get("finish_reason") or draft.finish_reason
    draft.events.append(
        Event(at_ns=at_ns, read=read, token_ids=tuple(tokens), text=text, choices=bool(choices))
    )


def _speculation(fields: Mapping[str, Any]) -> Speculation:
    return Speculation(
        steps=fields["num_spec_steps"],
        drafted=fields["num_draft_tokens"],
        accepted=fields["num_accepted_draft_tokens"],
        per_step_accepted=tuple(fields.get("per_step_accepted") or ()),
        per_step_drafted=tuple(fields.get("per_step_drafted") or ()),
    )

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.sse import Event, EventParser, EventTooLongError

LINES = st.lists(
    st.sampled_from(
        [
            b'data: {"a": 1}',
            b"data:x",
            b"data: [DONE]",
            b": ping",
            b"event: e",
            "data: é".encode(),
            b"",
        ]
    ),
    max_size=12,
)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


def parse(pieces: list[bytes]) -> list[Event]:
    parser = EventParser()
    return [event for piece in pieces for event in parser.feed(piece)]


@given(LINES, ENDS, st.data())
def test_any_split_of_the_bytes_gives_the_same_events(
    lines: list[bytes], end: bytes, data: st.DataObject
) -> None:
    whole = b"".join(line + end for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    expected = parse([bytes([byte]) for byte in whole])
    assert parse(pieces) == parse([whole]) == expected


@given(LINES)
def test_what_is_sent_on_says_the_same(lines: list[bytes]) -> None:
    events = parse([b"\n".join(lines) + b"\n\n"])
    assert parse([event.raw for event in events]) == events


def test_an_event_is_out_on_its_last_byte() -> None:
    parser = EventParser()
    assert parser.feed(b"data: x\n") == []
    assert parser.feed(b"\n") == [Event(b"data: x\n\n", b"x")]


def test_data_over_several_lines_is_joined() -> None:
    (event,) = parse([b"data: a\ndata: b\n\n"])
    assert event.data == b"a\nb"


def test_a_comment_has_no_data() -> None:
    (event,) = parse([b": keep-alive\n\n"])
    assert event.data is None


def test_an_event_without_end_is_bounded() -> None:
    parser = EventParser(max_event_bytes=10)
    with pytest.raises(EventTooLongError):
        parser.feed(b"data: 0123456789")

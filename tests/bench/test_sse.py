from hypothesis import given
from hypothesis import strategies as st

from bench.sse import EventSplitter

LINES = st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), max_size=30)


def fed(stream: bytes, cuts: list[int]) -> list[bytes]:
    splitter = EventSplitter()
    events: list[bytes] = []
    last = 0
    for cut in [*sorted(cuts), len(stream)]:
        events += splitter.feed(stream[last:cut])
        last = cut
    return events


@given(st.lists(LINES, max_size=6), st.data(), st.sampled_from(["\n", "\r\n"]))
def test_where_the_stream_is_cut_changes_nothing(
    lines: list[str], data: st.DataObject, end: str
) -> None:
    stream = "".join(f": ping{end}data: {line}{end}{end}" for line in lines).encode()
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=12))
    assert fed(stream, cuts) == [line.encode() for line in lines]


def test_comments_other_fields_and_unfinished_events_are_no_events() -> None:
    assert fed(b": hi\nevent: x\nid: 3\n\ndata: a\ndata: b\n\ndata: unfinished\n", []) == [b"a\nb"]

"""Raw events survive the file whatever they hold, and nothing else is taken for them."""

import base64
import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from bench.events import Event, Events, pack, unpack

EVENTS = st.lists(
    st.builds(
        Event,
        at_ns=st.integers(0, 2**62),
        read=st.integers(0, 10**6),
        tokens=st.integers(0, 20),
        token_ids=st.lists(st.integers(0, 200_000), max_size=4).map(tuple),
        text=st.text(max_size=8),
        choices=st.booleans(),
    ),
    max_size=6,
).map(tuple)
ADAPTER = TypeAdapter[tuple[Event, ...]](Events)


@given(EVENTS)
def test_what_is_packed_comes_back(events: tuple[Event, ...]) -> None:
    assert unpack(pack(events)) == events
    assert ADAPTER.validate_json(ADAPTER.dump_json(events), strict=True) == events


def test_the_form_is_the_one_that_the_docs_tell() -> None:
    events = (Event(at_ns=5, read=1, tokens=2, token_ids=(7, 8), text="ö"), Event(at_ns=9, read=1))
    columns = json.loads(zlib.decompress(base64.b64decode(pack(events))))
    assert columns == {
        "at_ns": [5, 4], "read": [1, 0], "tokens": [2, 0], "token_ids": [[7, 8], []],
        "text": ["ö", ""], "choices": [1, 1],
    }  # fmt: skip


def test_a_long_answer_takes_little_room() -> None:
    events = [Event(at_ns=40_000_000 * n, read=n, tokens=1, token_ids=(n,)) for n in range(500)]
    plain = sum(len(one.model_dump_json()) for one in events)
    assert len(pack(events)) < plain / 15


def blob(text: bytes) -> str:
    return base64.b64encode(zlib.compress(text)).decode()


@pytest.mark.parametrize(
    "value", ["?", "YWJj", blob(b"{"), blob(b"[]"), blob(b"{}"), blob(b'{"at_ns": 3}')]
)
def test_anything_else_is_refused(value: str) -> None:
    with pytest.raises(ValidationError):
        ADAPTER.validate_json(json.dumps(value))


def test_columns_of_different_length_are_refused() -> None:
    columns = json.loads(zlib.decompress(base64.b64decode(pack([Event(at_ns=1, read=0)]))))
    short = blob(json.dumps(columns | {"text": []}).encode())
    with pytest.raises(ValueError, match="shorter"):
        unpack(short)
